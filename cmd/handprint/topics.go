package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kerr"

	"handprint/internal/broker"
	"handprint/internal/config"
)

func (a *app) topicsCommand() *cobra.Command {
	cmd := parent(&cobra.Command{
		Use:   "topics",
		Short: "List, create and check the topics",
		Example: `  handprint topics list --brokers a:9092
  handprint topics create --brokers a:9092 --partitions 12 --replication-factor 3
  handprint topics check --brokers a:9092 --partitions 12`,
	})
	asJSON := false
	cmd.PersistentFlags().BoolVar(&asJSON, "json", false, "Print JSON.")
	groups := []string{config.GroupConnection, config.GroupApplication, config.GroupTopics}
	for _, sub := range []*cobra.Command{
		{
			Use:   "list",
			Short: "List the topics that handprint uses, and which are missing",
			Args:  cobra.NoArgs,
			RunE:  func(cmd *cobra.Command, _ []string) error { return a.listTopics(cmd, asJSON) },
		},
		{
			Use:   "create",
			Short: "Create the topics that are missing, with the right settings",
			Long: `Create the topics that are missing, with the right settings. Topics that exist
are left as they are, but for the commands, which are to keep everything; all are
then checked: see "handprint topics check".`,
			Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error { return a.createTopics(cmd, asJSON) },
		},
		{
			Use:   "check",
			Short: "Check that the topics fit, and say what to change if not",
			Long: `Check that the topics exist with the partitions and settings that they need.
Every problem is one line that says what to change. Exits with 5 if there are
any that handprint cannot work with; the others are marked as advice.`,
			Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error { return a.checkTopics(cmd, asJSON) },
		},
	} {
		cmd.AddCommand(a.configure(sub, groups...))
	}
	return cmd
}

func (a *app) listTopics(cmd *cobra.Command, asJSON bool) error {
	cl, err := a.connect(cmd.Context())
	if err != nil {
		return err
	}
	defer cl.Close()
	infos, err := broker.List(cmd.Context(), cl, a.specs())
	if err != nil {
		return err
	}
	if asJSON {
		return a.writeJSON(infos)
	}
	var rows [][]cell
	for _, i := range infos {
		if !i.Exists {
			rows = append(rows, []cell{{text: i.Name}, {text: "missing", sgr: "31"}, {}, {}, {}})
			continue
		}
		var settings []string
		for _, k := range slices.Sorted(maps.Keys(i.Configs)) {
			settings = append(settings, k+"="+i.Configs[k])
		}
		rows = append(rows, []cell{
			{text: i.Name},
			{text: strconv.Itoa(i.Partitions), right: true},
			{text: strconv.Itoa(i.ReplicationFactor), right: true},
			{text: strconv.FormatInt(i.Records, 10), right: true},
			{text: strings.Join(settings, " "), sgr: faint},
		})
	}
	columns := []column{{head: "TOPIC", least: 30, tail: true}, {head: "PARTITIONS"}, {head: "REPLICAS"}, {head: "OFFSETS"}, {head: "SETTINGS", least: 16, drop: 1}}
	return a.paper().writeTable(a.out, columns, rows)
}

func (a *app) createTopics(cmd *cobra.Command, asJSON bool) error {
	cl, err := a.connect(cmd.Context())
	if err != nil {
		return err
	}
	defer cl.Close()
	created, err := broker.Ensure(cmd.Context(), cl, a.specs())
	if err != nil {
		return err
	}
	// Where this principal may not, Check says what is to be done.
	changed, err := broker.KeepAll(cmd.Context(), cl, a.specs())
	if err != nil && !errors.Is(err, kerr.TopicAuthorizationFailed) && !errors.Is(err, kerr.ClusterAuthorizationFailed) {
		return err
	}
	problems, err := broker.Check(cmd.Context(), cl, a.specs())
	if err != nil {
		return err
	}
	if asJSON {
		err := json.NewEncoder(a.out).Encode(struct {
			Created  []string         `json:"created"`
			Changed  []string         `json:"changed"`
			Problems []broker.Problem `json:"problems"`
		}{append([]string{}, created...), append([]string{}, changed...), append([]broker.Problem{}, problems...)})
		if err != nil {
			return err
		}
	} else {
		for _, name := range created {
			fmt.Fprintf(a.out, "created %s\n", name)
		}
		for _, name := range changed {
			fmt.Fprintf(a.out, "%s keeps everything from now on\n", name)
		}
		if len(created) == 0 {
			fmt.Fprintln(a.out, "all topics exist")
		}
	}
	return topicsError(problems)
}

func (a *app) checkTopics(cmd *cobra.Command, asJSON bool) error {
	cl, err := a.connect(cmd.Context())
	if err != nil {
		return err
	}
	defer cl.Close()
	problems, err := broker.Check(cmd.Context(), cl, a.specs())
	if err != nil {
		return err
	}
	switch {
	case asJSON:
		if err := json.NewEncoder(a.out).Encode(append([]broker.Problem{}, problems...)); err != nil {
			return err
		}
	case len(problems) == 0:
		fmt.Fprintln(a.out, "all topics fit")
	default:
		for _, p := range problems {
			if p.Advice {
				fmt.Fprint(a.out, "advice: ")
			}
			fmt.Fprintln(a.out, p)
		}
	}
	if needed := broker.Needed(problems); len(needed) > 0 {
		return &codeError{exitTopics, fmt.Errorf("%d problem(s) with the topics", len(needed))}
	}
	return nil
}
