package main

import (
	"context"
	"path"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/attribution"
)

// filter says which rows and events are shown. What it does not name, it lets
// through.
type filter struct {
	identities []string // beginnings of ids
	primitives []string // names, in which * stands for any letters
	stateNames []string
	states     []attribution.State
}

// flags adds the filter's flags to cmd.
func (f *filter) flags(cmd *cobra.Command) {
	cmd.Flags().StringSliceVar(&f.identities, "identity", nil, "Only identities whose id begins so, or that an address belongs to (can be repeated).")
	cmd.Flags().StringSliceVar(&f.primitives, "primitive", nil, "Only these primitives; * stands for any letters (can be repeated).")
	cmd.Flags().StringSliceVar(&f.stateNames, "state", nil, "Only these states: unknown, stable, drifting, conflicted, multi_actor (can be repeated).")
	complete(cmd, "state", "unknown", "stable", "drifting", "conflicted", "multi_actor")
}

// parse checks what the flags said.
func (f *filter) parse() error {
	for _, name := range f.stateNames {
		s, err := attribution.ParseState(name)
		if err != nil {
			return usageErrorf("flag --state: must be one of unknown, stable, drifting, conflicted, multi_actor, is %s", name)
		}
		f.states = append(f.states, s)
	}
	for _, p := range f.primitives {
		if _, err := path.Match(p, ""); err != nil {
			return usageErrorf("flag --primitive: must be a name or a pattern with *, is %s", p)
		}
	}
	return nil
}

// filterIdentities replaces the addresses in a filter by the identities that they
// belong to.
func (a *app) filterIdentities(ctx context.Context, cl *kgo.Client, f *filter) error {
	for i, text := range f.identities {
		attacker, isAddress := attackerOf(text)
		if !isAddress {
			continue
		}
		identity, known, err := a.ownerOf(ctx, cl, attacker)
		switch {
		case err != nil:
			return err
		case !known:
			return usageErrorf("flag --identity: address %s has not been seen", printable(text))
		}
		f.identities[i] = identity
	}
	return nil
}

func (f *filter) identity(id string) bool {
	return len(f.identities) == 0 || slices.ContainsFunc(f.identities, func(start string) bool { return strings.HasPrefix(id, start) })
}

func (f *filter) primitive(name string) bool {
	return len(f.primitives) == 0 || slices.ContainsFunc(f.primitives, func(pattern string) bool {
		ok, err := path.Match(pattern, name)
		return err == nil && ok
	})
}

func (f *filter) state(s attribution.State) bool {
	return len(f.states) == 0 || slices.Contains(f.states, s)
}

// output is how rows and events are written.
type output string

const (
	outputAuto   output = "auto" // pretty on a terminal, JSON elsewhere
	outputPretty output = "pretty"
	outputJSON   output = "json"
)

func outputFlag(cmd *cobra.Command, o *output) {
	cmd.Flags().StringVarP((*string)(o), "output", "o", string(outputAuto), "How to write: pretty, json (one object a line), or auto, which is pretty on a terminal.")
	complete(cmd, "output", string(outputAuto), string(outputPretty), string(outputJSON))
}

// pretty reports whether to write for people.
func (a *app) pretty(o output) (bool, error) {
	switch o {
	case outputAuto:
		return isTerminal(a.out), nil
	case outputPretty, outputJSON:
		return o == outputPretty, nil
	}
	return false, usageErrorf("flag --output: must be one of auto, pretty, json, is %s", string(o))
}

// complete makes the shell complete a flag with words. The flag exists, which
// is all that registering can fail for.
func complete(cmd *cobra.Command, flag string, words ...string) {
	if err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err)
	}
}
