package main

import (
	"bytes"
	"fmt"
	"os"

	"github.com/spf13/cobra"
)

// referenceCommand writes the reference of all settings. It is for builders of
// handprint, so --help does not list it.
func (a *app) referenceCommand() *cobra.Command {
	out := ""
	cmd := &cobra.Command{
		Use:    "reference",
		Short:  "Write the reference of all settings as Markdown",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			a.running = true
			if out == "" {
				return a.settings.WriteMarkdown(a.out)
			}
			var b bytes.Buffer
			if err := a.settings.WriteMarkdown(&b); err != nil {
				return err
			}
			if err := os.WriteFile(out, b.Bytes(), 0o644); err != nil {
				return fmt.Errorf("writing the reference: %w", err)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "File to write, instead of standard output.")
	return cmd
}
