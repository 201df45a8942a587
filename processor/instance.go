package processor

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// Two processes must not have one instance id: each would fence the other off
// without end. The brokers cannot tell a process that has been killed and started
// again from a second one beside the first, so they let the newer one win. That
// is right for the former. For the latter, the older one sees at its next sign
// of life that it has been displaced, and ends ([worker.displaced]); and a
// process that has reason to think that its id is a copy asks first
// ([Processor.confirmInstance]).

// errDisplaced ends a processor whose place in the group another one has taken.
func errDisplaced(instance string) error {
	return fatal(fmt.Errorf("another process has taken the place of this one in the group: both have the instance id %s; "+
		"give each a state directory and an instance id of its own", instance))
}

// confirmInstance refuses to start if the instance id may be another process's
// and the group has a member with it.
func (p *Processor) confirmInstance(ctx context.Context) error {
	if p.cfg.ConfirmInstance == nil {
		return nil
	}
	members, err := p.instances(ctx)
	if err != nil {
		return fmt.Errorf("asking for the members of group %s: %w", p.cfg.ApplicationID, err)
	}
	for instance := range members {
		if strings.HasPrefix(instance, p.cfg.InstanceID+"-") {
			return fmt.Errorf("the state directory looks like a copy of the one of a process that is in group %s as %s: "+
				"delete the file instance-id in it to make this one a process of its own, or stop the other one and wait %s",
				p.cfg.ApplicationID, p.cfg.InstanceID, p.cfg.SessionTimeout)
		}
	}
	return p.cfg.ConfirmInstance()
}

// displaced returns an error if another process is in the group in this
// worker's place. It is asked before the worker joins again after an error,
// which would throw that other one out.
func (w *worker) displaced(ctx context.Context) error {
	if !w.cfg.StaticMembership || !w.joined {
		return nil
	}
	mine, _ := w.session.Client().GroupMetadata()
	if mine == "" {
		return nil
	}
	limit, cancel := context.WithTimeout(ctx, sideTimeout)
	defer cancel()
	members, err := w.p.instances(limit)
	if err != nil {
		return nil // joining will tell
	}
	if holder, ok := members[w.name()]; ok && holder != mine {
		return errDisplaced(w.cfg.InstanceID)
	}
	return nil
}

// instances returns the member ids of the group's static members, by instance
// id.
func (p *Processor) instances(ctx context.Context) (map[string]string, error) {
	group, err := p.group(ctx)
	if err != nil {
		return nil, err
	}
	members := make(map[string]string)
	for _, m := range group.Members {
		if m.InstanceID != nil {
			members[*m.InstanceID] = m.MemberID
		}
	}
	return members, nil
}

// group returns what the brokers know of the group; it has no members if it does
// not exist.
func (p *Processor) group(ctx context.Context) (kadm.DescribedGroup, error) {
	groups, err := kadm.NewClient(p.side).DescribeGroups(ctx, p.cfg.ApplicationID)
	if err != nil {
		return kadm.DescribedGroup{}, err
	}
	group := groups[p.cfg.ApplicationID]
	if errors.Is(group.Err, kerr.GroupIDNotFound) {
		return group, nil
	}
	return group, group.Err
}
