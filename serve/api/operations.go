package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"handprint/attribution"
	"handprint/schemas"
	"handprint/serve/guard"
	"handprint/serve/problem"
	"handprint/serve/query"
)

// Task is what is known of one task of the engine.
type Task struct {
	Task     int32  `json:"task"`
	Owner    string `json:"owner" doc:"Instance; empty: nobody has it."`
	Host     string `json:"host,omitempty"`
	InputLag int64  `json:"input_lag"`
	ReadLag  int64  `json:"read_lag"`

	// By the owner's last heartbeat.
	Phase    string    `json:"phase,omitempty" doc:"waiting, restoring, running and others; absent: its owner has said nothing lately."`
	PhaseTS  float64   `json:"phase_ts,omitempty" doc:"When the owner said so."`
	Restore  *Restore  `json:"restore,omitempty" doc:"While it is restored."`
	Stuck    string    `json:"stuck,omitempty" doc:"Why it does not get on."`
	Standbys []Standby `json:"standbys,omitempty" doc:"Copies of its store that other instances keep."`
}

// Restore is how far a restore has come, in changelog offsets.
type Restore struct {
	Done  int64   `json:"done"`
	Total int64   `json:"total"`
	Left  float64 `json:"left_seconds" doc:"An estimate; 0: not known."`
}

// Standby is a copy of a task's store at another instance.
type Standby struct {
	Instance string `json:"instance"`
	Phase    string `json:"phase" enum:"standby,warming up"`
	Lag      int64  `json:"lag" doc:"Changelog offsets to the end; -1: not known."`
}

// Instance is a process of the engine, by its last heartbeat.
type Instance struct {
	Instance  string  `json:"instance"`
	Version   string  `json:"version"`
	TS        float64 `json:"ts" doc:"Of its last heartbeat."`
	Running   int64   `json:"tasks_running"`
	Restoring int64   `json:"tasks_restoring"`
}

// Health is what is known of the engine.
type Health struct {
	Group     string  `json:"group"`
	State     string  `json:"state" doc:"Of the group, in Kafka's words."`
	Members   int     `json:"members"`
	Unowned   int     `json:"unowned" doc:"Tasks that nobody has."`
	InputLag  int64   `json:"input_lag" doc:"Input that the engine has not processed."`
	BehindFor float64 `json:"behind_for" doc:"Seconds since there was none."`
	Tasks     []Task  `json:"tasks"`
	TS        float64 `json:"ts" doc:"When this was asked."`

	Instances []Instance `json:"instances" doc:"Those that have sent a heartbeat within two minutes."`
}

// DeadLetter is a record that could not be used.
type DeadLetter struct {
	Partition int32   `json:"partition"`
	Offset    int64   `json:"offset"`
	TS        float64 `json:"ts"`
	Reason    string  `json:"reason"`
	Stage     string  `json:"stage"`
	Topic     string  `json:"source_topic"`
	Source    int32   `json:"source_partition"`
	At        int64   `json:"source_offset"`
	Size      int     `json:"size" doc:"Bytes."`
	Preview   string  `json:"preview,omitempty" doc:"The first 2 KiB, with what cannot be printed escaped (role operate)."`

	SourceMillis int64 `json:"-"` // timestamp of the original, Unix milliseconds
}

// Node and Edge draw the topology.
type Node struct {
	Name   string `json:"name"`
	Kind   string `json:"kind" enum:"sensor,topic,task,store"`
	Detail string `json:"detail"`
}

// Edge is who gives what to whom.
type Edge struct {
	From string `json:"from"`
	To   string `json:"to"`
	What string `json:"what"`
}

// Graph is the topology.
type Graph struct {
	Nodes []Node `json:"nodes"`
	Edges []Edge `json:"edges"`
}

// Sent is where a record was written.
type Sent struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
	After     string `json:"after" doc:"For the parameter of that name: an answer that has this."`
}

// ErrNotFound is returned for a record that there is not.
var ErrNotFound = errors.New("there is no such record")

// ErrNotReplayable is returned for a dead letter whose original cannot be sent
// again: it is not whole, or came from another topic than the inputs.
var ErrNotReplayable = errors.New("the original cannot be sent again")

// Operations is what needs a broker. All but Health may fail, and then the API
// answers no-broker.
type Operations interface {
	Health() *Health // what was asked last; nil: nothing yet
	Topology() Graph
	DeadLetters(ctx context.Context, limit int) ([]DeadLetter, error)
	DeadLetter(ctx context.Context, partition int32, offset int64) (*DeadLetter, error)
	Replay(ctx context.Context, partition int32, offset int64) (*Sent, error)
	// EventMillis returns the timestamp of the identity event at an offset, in Unix
	// milliseconds; ErrNotFound: there is none.
	EventMillis(ctx context.Context, offset int64) (int64, error)
	SendEvent(ctx context.Context, e *attribution.IdentityEvent) (*Sent, error)
}

type tasks struct {
	*Health
	Read query.Freshness `json:"read"`
}

type deadLetterList struct {
	Items   []DeadLetter   `json:"items"`
	Reasons map[string]int `json:"reasons" doc:"How many of those looked at, by reason."`
}

type eventBody struct {
	Type      string   `json:"type" enum:"formed,linked,merged,unmerged"`
	Identity  string   `json:"identity_uuid,omitempty" maxLength:"1024" doc:"Of formed and linked."`
	Winner    string   `json:"winner_uuid,omitempty" maxLength:"1024" doc:"Of merged and unmerged."`
	Loser     string   `json:"loser_uuid,omitempty" maxLength:"1024"`
	Attackers []string `json:"attackers,omitempty" maxItems:"1000" doc:"Ids of attackers, or addresses that one attacker alone has."`
	Unseen    bool     `json:"unseen,omitempty" doc:"Names that nothing is known of are meant, as a clusterer may."`
}

type eventAnswer struct {
	Event  string        `json:"event"`
	DryRun bool          `json:"dry_run"`
	Moves  []plannedMove `json:"moves" doc:"What would move, of a dry run; by what is known now."`
	Sent   *Sent         `json:"sent,omitempty"`
}

type plannedMove struct {
	Attacker string `json:"attacker_uuid"`
	From     string `json:"from" doc:"Empty: it was never seen."`
	To       string `json:"to"`
}

func (s *server) noBroker(ctx context.Context, err error) error {
	if errors.Is(err, ErrNotFound) {
		p := problem.New("not-found", "There is no such record, or retention has taken it.")
		p.RequestID = guard.RequestID(ctx)
		return p
	}
	if errors.Is(err, ErrNotReplayable) {
		p := problem.New("in-the-way", "The original cannot be sent again: it is not whole, or came from no input of the engine.")
		p.RequestID = guard.RequestID(ctx)
		return p
	}
	s.Logger.Warn("a broker was needed for an answer", "request_id", guard.RequestID(ctx), "error", err)
	p := problem.New("no-broker", "No broker answers. Reading identities goes on.")
	p.RequestID = guard.RequestID(ctx)
	return p
}

var errNoOperations = errors.New("this read side has no access to the brokers")

func (s *server) operations(api huma.API) {
	huma.Register(api, read("/topology", "getTopology", "Topics, tasks and stores", "operations"), func(ctx context.Context, _ *struct{}) (*answer[Graph], error) {
		if s.Operations == nil {
			return nil, s.noBroker(ctx, errNoOperations)
		}
		return &answer[Graph]{Body: s.Operations.Topology()}, nil
	})
	huma.Register(api, read("/tasks", "listTasks", "The engine's tasks, and how far behind they are", "operations"), func(ctx context.Context, _ *struct{}) (*answer[tasks], error) {
		to := tasks{Read: s.Reader.ReadFreshness(), Health: &Health{Tasks: []Task{}, Instances: []Instance{}}}
		if s.Operations != nil {
			if h := s.Operations.Health(); h != nil {
				c := *h // others answer with it at the same time
				c.Tasks = slices.Clone(h.Tasks)
				to.Health = &c
			}
		}
		for i := range to.Tasks {
			to.Tasks[i].ReadLag = s.Reader.Freshness(to.Tasks[i].Task).ReadLag
		}
		return &answer[tasks]{Body: to}, nil
	})
	huma.Register(api, read("/dead-letters", "listDeadLetters", "Records that could not be used, the newest first", "operations"), func(ctx context.Context, in *struct {
		Limit int `query:"limit" minimum:"1" maximum:"500" default:"50"`
	}) (*answer[deadLetterList], error) {
		if s.Operations == nil {
			return nil, s.noBroker(ctx, errNoOperations)
		}
		list, err := s.Operations.DeadLetters(ctx, in.Limit)
		if err != nil {
			return nil, s.noBroker(ctx, err)
		}
		to := deadLetterList{Items: list, Reasons: map[string]int{}}
		for i := range list {
			to.Reasons[list[i].Reason]++
			if guard.SubjectOf(ctx).Role != guard.Operate {
				list[i].Preview = ""
			}
		}
		return &answer[deadLetterList]{Body: to}, nil
	})
	type Place struct {
		Partition int32 `path:"partition" minimum:"0"`
		Offset    int64 `path:"offset" minimum:"0"`
	}
	huma.Register(api, read("/dead-letters/{partition}/{offset}", "getDeadLetter", "A record that could not be used", "operations"), func(ctx context.Context, in *Place) (*answer[DeadLetter], error) {
		if s.Operations == nil {
			return nil, s.noBroker(ctx, errNoOperations)
		}
		d, err := s.Operations.DeadLetter(ctx, in.Partition, in.Offset)
		if err != nil {
			return nil, s.noBroker(ctx, err)
		}
		if guard.SubjectOf(ctx).Role != guard.Operate {
			d.Preview = ""
		}
		return &answer[DeadLetter]{Body: *d}, nil
	})
	write := func(path, id, summary string, status int) huma.Operation {
		op := read(path, id, summary, "operations")
		op.Method, op.DefaultStatus = http.MethodPost, status
		op.Errors = append(op.Errors, 415)
		return op
	}
	huma.Register(api, write("/dead-letters/{partition}/{offset}/replay", "replayDeadLetter", "Send the original to its topic again (role operate)", http.StatusAccepted), func(ctx context.Context, in *struct {
		Place
		Key string `header:"Idempotency-Key" maxLength:"200"`
	}) (*answer[Sent], error) {
		if s.Operations == nil {
			return nil, s.noBroker(ctx, errNoOperations)
		}
		body := "replay " + strconv.Itoa(int(in.Partition)) + " " + strconv.FormatInt(in.Offset, 10)
		sent, err := s.once(ctx, in.Key, body, func() (any, error) { return s.Operations.Replay(ctx, in.Partition, in.Offset) })
		if err != nil {
			return nil, err
		}
		return &answer[Sent]{Body: *sent.(*Sent)}, nil
	})
	huma.Register(api, write("/identity-events", "sendIdentityEvent", "Say which attackers are the same hands (role operate)", http.StatusAccepted), func(ctx context.Context, in *struct {
		DryRun bool   `query:"dry_run" doc:"Say what would move, and do nothing."`
		Key    string `header:"Idempotency-Key" maxLength:"200" doc:"The same request with the same key is done once, for a day."`
		Body   eventBody
	}) (*answer[eventAnswer], error) {
		return s.sendEvent(ctx, in.DryRun, in.Key, &in.Body)
	})
}

// once does something once for a key.
func (s *server) once(ctx context.Context, key, body string, f func() (any, error)) (any, error) {
	if key != "" {
		key = guard.SubjectOf(ctx).Name + "\x00" + key
	}
	sent, other, err := s.remembered.do(key, body, f)
	if other {
		p := problem.New("unprocessable", "This Idempotency-Key was used with another request.")
		p.RequestID = guard.RequestID(ctx)
		return nil, p
	}
	if err != nil {
		var p *problem.Problem
		if errors.As(err, &p) {
			return nil, err
		}
		return nil, s.noBroker(ctx, err)
	}
	return sent, nil
}

func (s *server) sendEvent(ctx context.Context, dry bool, key string, b *eventBody) (*answer[eventAnswer], error) {
	if dry {
		_, moves, err := s.plan(b)
		if err != nil {
			return nil, s.failed(ctx, err)
		}
		return &answer[eventAnswer]{Body: eventAnswer{Event: b.Type, DryRun: true, Moves: moves}}, nil
	}
	if s.Operations == nil {
		return nil, s.noBroker(ctx, errNoOperations)
	}
	body, err := json.Marshal(b)
	if err != nil {
		return nil, s.failed(ctx, err)
	}
	// Names are resolved once: what they mean changes by the event itself.
	done, err := s.once(ctx, key, string(body), func() (any, error) {
		e, moves, err := s.plan(b)
		if err != nil {
			return nil, s.failed(ctx, err)
		}
		sent, err := s.Operations.SendEvent(ctx, e)
		return &eventAnswer{Event: b.Type, Moves: moves, Sent: sent}, err
	})
	if err != nil {
		return nil, err
	}
	return &answer[eventAnswer]{Body: *done.(*eventAnswer)}, nil
}

// plan resolves the names of an event and says what it would move.
func (s *server) plan(b *eventBody) (*attribution.IdentityEvent, []plannedMove, error) {
	bad := func(detail string) error { return &query.Problem{Kind: query.BadParameter, Detail: detail} }
	e := &attribution.IdentityEvent{}
	moves := []plannedMove{}
	for _, name := range b.Attackers {
		a, err := s.Reader.Attacker(name)
		if err != nil {
			if !b.Unseen {
				return nil, nil, err
			}
			a = &query.Attacker{Attacker: name}
		}
		e.Attackers = append(e.Attackers, a.Attacker)
		moves = append(moves, plannedMove{Attacker: a.Attacker, From: a.Identity})
	}
	resolve := func(name string) (string, error) {
		id, err := s.Reader.IdentityOf(name)
		if err != nil && b.Unseen {
			return name, nil
		}
		return id, err
	}
	var err error
	switch b.Type {
	case "formed", "linked":
		if b.Identity == "" || b.Winner != "" || b.Loser != "" {
			return nil, nil, bad("formed and linked have identity_uuid, and neither winner_uuid nor loser_uuid.")
		}
		e.Type, e.Identity = attribution.Formed, b.Identity
		if b.Type == "linked" {
			if e.Type = attribution.Linked; len(b.Attackers) != 1 {
				return nil, nil, bad("linked has exactly one attacker.")
			}
		}
	default:
		if b.Identity != "" || b.Winner == "" || b.Loser == "" {
			return nil, nil, bad("merged and unmerged have winner_uuid and loser_uuid, and no identity_uuid.")
		}
		e.Type = attribution.Merged
		if b.Type == "unmerged" {
			e.Type = attribution.Unmerged
		}
		if e.Identity, err = resolve(b.Winner); err != nil {
			return nil, nil, err
		}
		if e.Loser, err = resolve(b.Loser); err != nil {
			return nil, nil, err
		}
		if e.Identity == e.Loser {
			return nil, nil, bad("An identity cannot be merged with itself.")
		}
	}
	target := e.Identity
	if e.Type == attribution.Unmerged {
		target = e.Loser
	}
	for i := range moves {
		moves[i].To = target
	}
	if e.Type == attribution.Merged {
		if members, err := s.Reader.Members(e.Loser, "", 200); err == nil {
			for _, m := range members.Items {
				moves = append(moves, plannedMove{m.Attacker, e.Loser, e.Identity})
			}
		}
	}
	if _, err := schemas.DecodeIdentityEvent("", schemas.AppendIdentityEvent(nil, e)); err != nil {
		return nil, nil, bad("The event would be a bad record: " + err.Error())
	}
	return e, moves, nil
}
