package operations

import (
	"fmt"
	"slices"
	"strings"

	"handprint/processor/assignor"
)

// rules compares the settings by which the members of the group work: thresholds,
// values, registry. Each process tells the group its own.
func (d *doctor) rules() {
	g, err := describeGroup(d.ctx, d.adm, d.app.ID)
	if err != nil || len(g.Members) == 0 {
		return // it was said, or nobody works
	}
	type process struct {
		name string
		job  assignor.Job
	}
	var all []process
	seen := make(map[string]bool)
	for _, m := range g.Members {
		join, ok := m.Join.AsConsumer()
		if !ok {
			continue
		}
		data, err := assignor.DecodeMemberData(join.UserData)
		if err != nil || seen[data.Process] || len(data.Job.Should) == 0 {
			continue
		}
		seen[data.Process] = true
		all = append(all, process{fmt.Sprintf("%s at %s", m.ClientID, strings.TrimPrefix(m.ClientHost, "/")), data.Job})
	}
	if len(all) < 2 {
		return // nothing to compare
	}
	slices.SortFunc(all, func(a, b process) int { return strings.Compare(a.name, b.name) })
	var differ []string
	for _, other := range all[1:] {
		if lines := all[0].job.ShouldDiffer(other.job); len(lines) > 0 {
			differ = append(differ, fmt.Sprintf("%s and %s: %s", all[0].name, other.name, strings.Join(lines, ", ")))
		}
	}
	if len(differ) == 0 {
		d.add("rules", OK, "", "%d processes work by the same thresholds, values and registry", len(all))
		return
	}
	d.add("rules", Warning, "restart each process that has the old rules; meanwhile rows are concluded by the rules of the process that has their task",
		"processes work by different rules: %s", strings.Join(differ, "; "))
}
