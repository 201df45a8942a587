package main

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
)

// buildVersion is what the binary knows of itself.
type buildVersion struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"` // of the source, "+dirty" if changed
	Time     string `json:"time,omitempty"`     // of the revision, RFC 3339
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func readVersion() buildVersion {
	v := buildVersion{Version: "unknown", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if info.Main.Version != "" {
		v.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Revision = s.Value + v.Revision
		case "vcs.modified":
			if s.Value == "true" {
				v.Revision += "+dirty"
			}
		case "vcs.time":
			v.Time = s.Value
		}
	}
	return v
}

// text is the version on one line, with commit and date: for logs, status and
// metrics. A version that Go has made of the commit names them already.
func (v buildVersion) text() string {
	commit := v.Revision[:min(len(v.Revision), 12)]
	if commit == "" || strings.Contains(v.Version, commit) {
		return v.Version
	}
	date, _, _ := strings.Cut(v.Time, "T")
	return strings.TrimSpace(v.Version + " " + commit + " " + date)
}

func (a *app) versionCommand() *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print what this binary was built from",
		Args:  cobra.NoArgs,
		Example: `  handprint version
  handprint version --json`,
		RunE: func(*cobra.Command, []string) error {
			a.running = true
			v := readVersion()
			if asJSON {
				return json.NewEncoder(a.out).Encode(v)
			}
			fmt.Fprintf(a.out, "handprint %s (%s, %s)\n", v.Version, v.Go, v.Platform)
			if v.Revision != "" {
				fmt.Fprintf(a.out, "revision %s of %s\n", v.Revision, v.Time)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "Print JSON.")
	return cmd
}
