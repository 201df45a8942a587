package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"handprint/internal/operations"
)

// planned is the load that doctor --plan is asked about.
type planned struct {
	wanted     bool
	rate       int // observations a second
	identities int
	fresh      int // identities that come new each day; 0: identities says how many there are
	each       int // observations of an identity; 0 is all that are kept
	instances  int
}

// planFlags are flags that mean nothing without --plan.
var planFlags = []string{"rate", "identities", "new-identities", "observations-each", "instances"}

func (p *planned) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVar(&p.wanted, "plan", false, "Print what a load needs, and ask no broker.")
	f.IntVar(&p.rate, "rate", 0, "With --plan: `observations` a second, at most.")
	f.IntVar(&p.identities, "identities", 0, "With --plan: how many `identities` are remembered.")
	f.IntVar(&p.fresh, "new-identities", 0, "With --plan, in the place of --identities: how many `identities` are new each day. Those of identity-retention are remembered, or those of a year if it is 0.")
	f.IntVar(&p.each, "observations-each", 0, "With --plan: `observations` of an identity on average; 0 is as many as are kept.")
	f.IntVar(&p.instances, "instances", 2, "With --plan: how many `processes` share the load.")
}

// plan prints what the load needs.
func (a *app) plan(p *planned, asJSON bool) error {
	switch {
	case p.rate < 1 || p.rate > 100_000_000:
		return usageErrorf("--plan needs --rate, between 1 and 100000000 observations a second")
	case p.fresh != 0 && p.identities != 0:
		return usageErrorf("--plan needs --identities or --new-identities, not both")
	case p.fresh < 0 || p.fresh > 100_000_000:
		return usageErrorf("--new-identities has to be between 1 and 100000000 a day")
	case p.fresh == 0 && (p.identities < 1 || p.identities > 10_000_000_000):
		return usageErrorf("--plan needs --identities, between 1 and 10000000000, or --new-identities")
	case p.each < 0:
		return usageErrorf("--observations-each has to be 0 or more")
	case p.instances < 1 || p.instances > 10_000:
		return usageErrorf("--instances has to be between 1 and 10000")
	}
	load := operations.Load{
		Rate: float64(p.rate), Identities: float64(p.identities) + operations.Remembered(float64(p.fresh), a.cfg.Values.Retention), Observations: float64(p.each),
		Instances: p.instances, Standbys: a.cfg.Runtime.Standbys, Caches: a.plannedCaches(),
	}
	plan := operations.PlanFor(load)
	if asJSON {
		return json.NewEncoder(a.out).Encode(plan)
	}
	fmt.Fprint(a.out, plan.Text(load))
	return nil
}

// plannedCaches is what the caches and memtables of a planned process take: as they
// are set, else as they were when the plan's figures were measured. Unset ones follow the
// limit that is planned and take about a third of it.
func (a *app) plannedCaches() uint64 {
	if a.cfg.Runtime.RecordCache == 0 && a.cfg.Runtime.StoreCache == 0 {
		return operations.MeasuredCaches
	}
	return a.caches()
}
