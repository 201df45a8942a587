package processor

import (
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"

	"handprint/processor/assignor"
)

// All processes of an application do one job: they read the same topics into the
// same changelog. Two installations with one application id and different topics
// would each leave half of the other's tasks unread. So a start asks the group
// first, and the group's leader gives no task to a member that does another job
// (assignor.Job). By which rules a job is done may differ for a while, as in a
// rolling change of a threshold; the watch says so.

// errOtherJob wraps the error of a process that does another job than its group.
func errOtherJob(group, differs string) error {
	return fatal(fmt.Errorf("this process does another job than group %s: %s; give it an application id of its own, or the same topics", group, differs))
}

// setJob notes what this process does, from the topics as they are.
func (p *Processor) setJob(topics kadm.TopicDetails) {
	id := topics[p.cfg.Changelog].ID // as the checkpoints of stores have it
	inputs := slices.Concat(p.cfg.Inputs, p.cfg.Singles)
	slices.Sort(inputs)
	p.job.Store(&assignor.Job{
		Must: map[string]string{
			"changelog":          p.cfg.Changelog,
			assignor.ChangelogID: hex.EncodeToString(id[:]),
			"commands":           p.cfg.Commands,
			"inputs":             strings.Join(inputs, ","),
			"partitions":         strconv.Itoa(int(p.cfg.Partitions)),
		},
		Should: p.cfg.Rules,
	})
}

// confirmJob refuses to start if the group has members that do another job.
func (p *Processor) confirmJob(ctx context.Context) error {
	others, err := p.others(ctx)
	if err != nil {
		return fmt.Errorf("asking for the members of group %s: %w", p.cfg.ApplicationID, err)
	}
	for _, o := range others {
		if differs := p.job.Load().MustDiffer(o.Job); differs != "" && o.Job.Must != nil {
			return errOtherJob(p.cfg.ApplicationID, o.name+" is in it, and "+differs)
		}
	}
	return nil
}

// member is another process's member of the group.
type member struct {
	assignor.MemberData
	name    string // client id and host
	foreign bool   // it speaks another protocol, or its data cannot be read
}

// others returns the group's members of other processes; none while the group is
// deciding.
func (p *Processor) others(ctx context.Context) ([]member, error) {
	group, err := p.group(ctx)
	if err != nil {
		return nil, err
	}
	var others []member
	for _, m := range group.Members {
		o := member{name: fmt.Sprintf("%s at %s", m.ClientID, strings.TrimPrefix(m.ClientHost, "/"))}
		join, ok := m.Join.AsConsumer()
		if ok {
			if len(join.UserData) == 0 && group.State != "Stable" {
				continue
			}
			o.MemberData, err = assignor.DecodeMemberData(join.UserData)
		}
		if o.foreign = !ok || err != nil || group.Protocol != "" && group.Protocol != protocolName; o.Process == p.cfg.InstanceID {
			continue
		}
		others = append(others, o)
	}
	return others, nil
}

// protocolName is that of the group's members of this application.
var protocolName = (*assignor.Assignor)(nil).ProtocolName()

// refuse ends the processor because the group's leader has given this member no
// task.
func (w *worker) refuse(differs string) {
	if differs == "" {
		return
	}
	w.p.refused.CompareAndSwap(nil, &differs)
	w.wake()
}

// refusal returns the error with which the leader's refusal ends the processor, nil
// without one. It names a member that is right, if it can.
func (p *Processor) refusal(ctx context.Context) error {
	differs := p.refused.Load()
	if differs == nil {
		return nil
	}
	limit, cancel := context.WithTimeout(ctx, sideTimeout)
	defer cancel()
	if err := p.confirmJob(limit); err != nil && limit.Err() == nil {
		return fatal(err)
	}
	return errOtherJob(p.cfg.ApplicationID, *differs)
}

// compareRules says in the log, when that changes, which members work by other rules
// than this process, and which are foreign.
func (p *Processor) compareRules(ctx context.Context) error {
	others, err := p.others(ctx)
	if err != nil {
		return fmt.Errorf("asking for the members of group %s: %w", p.cfg.ApplicationID, err)
	}
	var differ []string
	for _, o := range others {
		if o.foreign {
			differ = append(differ, o.name+" is no process of this application, or of a release that this one cannot read")
			continue
		}
		for _, line := range p.job.Load().ShouldDiffer(o.Job) {
			differ = append(differ, o.name+": "+line)
		}
	}
	slices.Sort(differ)
	differ = slices.Compact(differ)
	before := p.differ.Swap(&differ)
	switch {
	case before != nil && slices.Equal(*before, differ):
	case len(differ) > 0:
		p.log.Warn("members of the group work by other rules than this process", "differ", strings.Join(differ, "; "))
	case before != nil:
		p.log.Info("all members of the group work by the same rules again")
	}
	return nil
}
