package main

import (
	"bytes"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"handprint/internal/asyncapi"
	"handprint/internal/config"
)

func (a *app) asyncapiCommand() *cobra.Command {
	out := ""
	cmd := &cobra.Command{
		Use:   "asyncapi",
		Short: "Print all public topics as an AsyncAPI 3 document",
		Long: `Print an AsyncAPI 3 document (YAML) of all public topics: channels, operations,
messages, keys, headers, and the payloads as JSON Schema and as Avro. Names,
partitions and lifetimes are those of the settings.`,
		Example: `  handprint schemas asyncapi > handprint.yaml
  handprint schemas asyncapi --topic-prefix soc. --partitions 12`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if out == "" {
				return asyncapi.Write(a.out, a.cfg.Topics, a.cfg.Layout)
			}
			var b bytes.Buffer
			if err := asyncapi.Write(&b, a.cfg.Topics, a.cfg.Layout); err != nil {
				return err
			}
			if err := os.WriteFile(out, b.Bytes(), 0o644); err != nil {
				return fmt.Errorf("writing the AsyncAPI document: %w", err)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "File to write, instead of standard output.")
	return a.configure(cmd, config.GroupApplication, config.GroupTopics)
}
