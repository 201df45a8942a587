package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"handprint/internal/config"
	"handprint/schemas"
	"handprint/schemas/registry"
)

func (a *app) schemasCommand() *cobra.Command {
	cmd := parent(&cobra.Command{
		Use:   "schemas",
		Short: "Show, check and register the Avro schemas of the topics",
		Example: `  handprint schemas show
  handprint schemas show state_row
  handprint schemas check --schema-registry-url http://registry:8081
  handprint schemas register --schema-registry-url http://registry:8081`,
	})
	asJSON := false
	show := a.configure(&cobra.Command{
		Use:   "show [NAME]",
		Short: "Show the schemas, or one of them as it is registered",
		Long: `Without a name list the schemas with their subjects; with one print it as the
JSON that is registered. Needs no registry.`,
		Args:      cobra.MaximumNArgs(1),
		ValidArgs: contractNames(),
		RunE:      func(cmd *cobra.Command, args []string) error { return a.showSchemas(args) },
	}, config.GroupApplication, config.GroupTopics, config.GroupSchemas)
	check := a.configure(&cobra.Command{
		Use:   "check",
		Short: "Ask the registry whether it would take this version's schemas",
		Long: `Ask the registry whether this version's schemas are compatible with the
registered ones, by the registry's own rules. Nothing is changed. Exits with 1 and
the registry's reasons if one is not.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.checkSchemas(cmd, asJSON) },
	}, config.GroupApplication, config.GroupTopics, config.GroupSchemas)
	register := a.configure(&cobra.Command{
		Use:   "register",
		Short: "Register the schemas",
		Long: `Register the schemas of all public topics, those of the input too, and print
the ids that the registry gives them. Doing it again changes nothing.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.registerSchemas(cmd, asJSON) },
	}, config.GroupApplication, config.GroupTopics, config.GroupSchemas)
	for _, c := range []*cobra.Command{check, register} {
		c.Flags().BoolVar(&asJSON, "json", false, "Print JSON.")
	}
	cmd.AddCommand(register, check, show, a.asyncapiCommand())
	return cmd
}

func contractNames() (names []string) {
	for _, c := range schemas.Contracts() {
		names = append(names, c.String())
	}
	return names
}

func (a *app) showSchemas(args []string) error {
	if len(args) == 1 {
		c, err := schemas.ParseContract(args[0])
		if err != nil {
			return usageErrorf("%w; there are %s", err, strings.Join(contractNames(), ", "))
		}
		_, err = fmt.Fprint(a.out, c.Schema())
		return err
	}
	subjects := a.subjects()
	var rows [][]cell
	for _, c := range schemas.Contracts() {
		rows = append(rows, []cell{{text: c.String()}, {text: c.RecordName()}, {text: subjects[c]}})
	}
	return a.paper().writeTable(a.out, columns("NAME", "RECORD", "SUBJECT"), rows)
}

// needRegistry returns a client of the registry, which must be configured.
func (a *app) needRegistry() (*registry.Client, error) {
	r, err := a.registry()
	if err == nil && r == nil {
		err = usageErrorf("setting schema-registry-url: needed here")
	}
	return r, err
}

// schemaAnswer is what the registry said of one schema.
type schemaAnswer struct {
	Schema  string   `json:"schema"`
	Subject string   `json:"subject"`
	ID      *uint32  `json:"id,omitempty"`
	Reasons []string `json:"reasons,omitempty"`
}

func (a *app) checkSchemas(cmd *cobra.Command, asJSON bool) error {
	r, err := a.needRegistry()
	if err != nil {
		return err
	}
	var answers []schemaAnswer
	bad := 0
	subjects := a.subjects()
	for _, c := range schemas.Contracts() {
		reasons, err := r.Check(cmd.Context(), subjects[c], c)
		if err != nil {
			return fmt.Errorf("%w (at %s)", err, a.registryNames())
		}
		if len(reasons) > 0 {
			bad++
		}
		answers = append(answers, schemaAnswer{Schema: c.String(), Subject: subjects[c], Reasons: reasons})
	}
	if err := a.writeAnswers(answers, asJSON); err != nil {
		return err
	}
	if bad > 0 {
		return fmt.Errorf("%d of %d schemas are not compatible with what is registered", bad, len(answers))
	}
	return nil
}

func (a *app) registerSchemas(cmd *cobra.Command, asJSON bool) error {
	r, err := a.needRegistry()
	if err != nil {
		return err
	}
	var answers []schemaAnswer
	subjects := a.subjects()
	for _, c := range schemas.Contracts() {
		id, err := r.Register(cmd.Context(), subjects[c], c)
		if err != nil {
			var no *registry.RefusedError
			if !errors.As(err, &no) {
				err = fmt.Errorf("%w (at %s)", err, a.registryNames())
			}
			if len(answers) > 0 { // what was registered is registered
				err = errors.Join(a.writeAnswers(answers, asJSON), err)
			}
			return err
		}
		answers = append(answers, schemaAnswer{Schema: c.String(), Subject: subjects[c], ID: &id})
	}
	return a.writeAnswers(answers, asJSON)
}

func (a *app) writeAnswers(answers []schemaAnswer, asJSON bool) error {
	if asJSON {
		return a.writeJSON(answers)
	}
	var rows [][]cell
	for _, s := range answers {
		said := "compatible"
		switch {
		case s.ID != nil:
			said = fmt.Sprintf("id %d", *s.ID)
		case len(s.Reasons) > 0:
			said = printable(strings.Join(s.Reasons, "; "))
		}
		rows = append(rows, []cell{{text: s.Schema}, {text: printable(s.Subject)}, {text: said}})
	}
	return a.paper().writeTable(a.out, columns("NAME", "SUBJECT", "REGISTRY"), rows)
}
