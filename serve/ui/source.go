package ui

import (
	"context"
	"encoding/json"
	"net/url"
	"time"

	"handprint/serve/query"
)

// Source answers what pages ask. Each method is the API's route of the same
// name, with the same parameters and problems ([*query.Problem]); none waits
// for a broker. It may be used by several goroutines at the same time.
type Source interface {
	Overview(ctx context.Context, window time.Duration) (*query.Overview, error)
	Identities(ctx context.Context, parameters url.Values) (*query.IdentityList, error)
	Identity(ctx context.Context, id string) (*query.Identity, error)
	// Timeline returns the newest of what happened to an identity; kinds: only these.
	Timeline(ctx context.Context, id string, parameters url.Values) (*query.Timeline, error)
	History(ctx context.Context, id string) (*query.IdentityHistory, error)
	Similar(ctx context.Context, id string) (*query.PairList, error)
	// Explain returns the explanation as the API's JSON.
	Explain(ctx context.Context, id, primitive string, evidence bool) (json.RawMessage, error)
	// Windows returns explanations of several rows of an identity without their
	// evidence references, all from one snapshot, and where that lies. A row that
	// there is not is left out.
	Windows(ctx context.Context, id string, primitives []string) (map[string]json.RawMessage, query.Position, error)
	Compare(ctx context.Context, a, b string) (*query.Comparison, error)
	Suspicions(ctx context.Context, parameters url.Values) (*query.SuspicionList, error)
	Suggestions(ctx context.Context) (*query.PairList, error)
	Primitives(ctx context.Context) (*query.PrimitiveList, error)
	Values(ctx context.Context, primitive, prefix string, limit int) (*query.ValueList, error)
	Value(ctx context.Context, primitive string, value json.RawMessage) (*query.ValueInfo, error)
	Search(ctx context.Context, q string) (*query.SearchResult, error)
	// Recent returns the latest transitions of all identities, the newest first.
	Recent(ctx context.Context, limit int) ([]Recent, error)
	// Address returns what is known of where the attacker of an identity of one
	// attacker came from; nil: nothing, or it has several.
	Address(ctx context.Context, identity string) *query.Address
	Operations(ctx context.Context) (*Operations, error)
	Freshness(ctx context.Context) Freshness
}

// Recent is something that happened, and to which identity.
type Recent struct {
	Identity string
	query.Happening
}

// Freshness is how far behind the read side, and the engine before it, are.
type Freshness struct {
	AsOf     float64  // Unix seconds: everything committed until then is shown
	ReadLag  int64    // committed changelog records that are not
	InputLag int64    // observations that the engine has not processed
	Waiting  int      // tasks that have such
	Stale    string   // "", "read" or "input"
	Missing  []string // event topics that are not there
	// LeavesOut says that lists lack primitives: too many are not registered.
	LeavesOut bool
	// Building is how far a catalogue that is being built has come, in [0, 1);
	// 1: it is complete.
	Building float64
}

// Operations is what the page for who is on call shows.
type Operations struct {
	Tasks       []Task
	DeadLetters []DeadLetter // the newest first
	Instances   []Instance
	Catalog     int64   // bytes
	Begins      float64 // Unix seconds: the history is complete from then on
	Reads       []Wire  // topics that tasks read
	Writes      []Wire  // topics that tasks write
	Series      []Series
	Group       string // of consumers, with its state in Kafka's words
	State       string
	Unowned     int

	Asked              float64 // Unix seconds: when brokers were asked last how far the tasks are; 0: never
	Silent             bool    // the brokers have not answered since
	DeadLettersUnknown bool    // the brokers cannot be asked for them
}

// Wire is a topic beside the tasks, and what flows there.
type Wire struct{ Topic, What string }

// Series is numbers over the last hour, the newest last.
type Series struct {
	Title  string
	Unit   string
	Step   float64 // seconds between two
	Until  float64 // Unix seconds of the newest
	Values []float64
}

// Task is a task as the group and its owner's heartbeats show it.
type Task struct {
	Number   int32
	Owner    string   // empty: nobody
	Phase    string   // running, restoring, owned, no owner
	Restores bool     // it is being restored
	Restore  float64  // of a restore, in [0, 1)
	Left     float64  // seconds that it takes yet; 0: not known
	Stuck    string   // why it does not get on
	Standbys []string // copies at other instances, in words
	Host     string
	InputLag int64
	ReadLag  int64 // of the read side, in the task's changelog
}

// DeadLetter is a record that could not be used.
type DeadLetter struct {
	Partition int32
	Offset    int64
	TS        float64
	Reason    string
	Stage     string
	Source    string // topic[partition]@offset
	Bytes     int
	Preview   string // the beginning of its text, escaped; shown to operators alone
	Sent      string // where the copy lies that was sent from here lately; empty: none
}

// Instance is a process of the application by its last heartbeat.
type Instance struct {
	Name      string
	Version   string
	TS        float64
	Running   int
	Restoring int
}
