package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"handprint/internal/config"
)

func (a *app) topologyCommand() *cobra.Command {
	format := "text"
	cmd := &cobra.Command{
		Use:   "topology",
		Short: "Print which topics there are, and which task reads and writes what",
		Example: `  handprint topology
  handprint topology --format dot | dot -Tsvg > topology.svg`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			g := a.cfg.Topics.Graph()
			var text string
			switch format {
			case "text":
				text = g.Text()
			case "mermaid":
				text = g.Mermaid()
			case "dot":
				text = g.DOT()
			default:
				return usageErrorf("--format must be text, mermaid or dot, is %q", format)
			}
			_, err := fmt.Fprint(a.out, text)
			return err
		},
	}
	cmd.Flags().StringVar(&format, "format", format, "How to print it: text, mermaid or dot.")
	return a.configure(cmd, config.GroupApplication, config.GroupTopics)
}
