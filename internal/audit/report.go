package audit

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/attribution"
	"handprint/schemas"
	"handprint/topology"
)

// Rules are the settings that decide what an application computes. They must
// be the settings that its instances run with.
type Rules struct {
	Thresholds  attribution.Thresholds
	Registry    *attribution.Registry // nil: the built-in one
	RecordLimit int                   // bytes of a record's value; 0: 256 KiB
	Retention   time.Duration         // identity-retention; 0: nothing is forgotten
	MaxAhead    time.Duration         // how far ts may lie ahead of its record's timestamp; 0: any
	Strict      bool                  // a value outside the registry's list or minimum is a bad record
}

// Options say what is audited.
type Options struct {
	Client []kgo.Opt // the connection: seed brokers, TLS, SASL
	Topics topology.Names
	Rules  Rules
	// Group is the application id: the audit begins when this consumer group
	// has taken all input and all commands. Empty: the caller knows that the
	// application is at rest.
	Group string
	// Writers are the schemas of Avro records, and Schemas finds the ones
	// not known yet; nil: everything is JSON.
	Writers *schemas.Writers
	Schemas topology.SchemaFinder
	// Timeout is how long to wait for that; 0: one minute.
	Timeout time.Duration
	// StateDirs are stores of stopped instances to compare too.
	StateDirs []string
	// Stores says that [Auditor.CompareStores] will be called, without StateDirs.
	Stores bool
	// Swept says that every task has swept since the last row changed: a
	// suspicion that is due is then a lost one.
	Swept bool
	// MaxDifferences is how many the report lists; all are counted. 0: 100.
	MaxDifferences int
}

// The kinds of a difference.
const (
	Lost       = "lost"       // should be there and is not
	Doubled    = "doubled"    // is there more than once
	Different  = "different"  // is there and says something else
	Unexpected = "unexpected" // is there and should not be
)

// Difference is one thing that is not as the input has it. Topic, Partition
// and Offset name the record that says something wrong; for one that is
// missing, the input record that should have caused it if that is known, and
// else where it should be, with offset -1.
type Difference struct {
	Kind      string `json:"kind"`
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
	Key       string `json:"key"`
	Detail    string `json:"detail"`
}

// String returns one line.
func (d Difference) String() string {
	return fmt.Sprintf("%s: %s[%d] offset %d: %q: %s", d.Kind, d.Topic, d.Partition, d.Offset, d.Key, d.Detail)
}

// Report is what an audit found. Records are counted that this Advance read;
// identities and rows are all that are there at its end.
type Report struct {
	Observations     int64 `json:"observations"`
	IdentityEvents   int64 `json:"identity_events"`
	DeadLetters      int64 `json:"dead_letters"`
	Elsewhere        int64 `json:"elsewhere"`  // dead letters of them that are about no input of the application
	Identities       int64 `json:"identities"` // with at least one row
	Rows             int64 `json:"rows"`
	Transitions      int64 `json:"transitions"`
	Suspicions       int64 `json:"suspicions"`
	StateRecords     int64 `json:"state_records"`
	ChangelogRecords int64 `json:"changelog_records"`
	StoreRecords     int64 `json:"store_records"` // of the state directories
	InputLost        int64 `json:"input_lost"`    // offsets of the input that were deleted before the application read them
	CommandsLost     int64 `json:"commands_lost"` // the same of its commands

	Exact     int64 `json:"exact"`      // transitions compared one by one
	Chained   int64 `json:"chained"`    // transitions checked as links of a chain
	Compared  int64 `json:"compared"`   // rows compared
	Loose     int64 `json:"loose"`      // of them, rows whose value the input does not determine
	Forgotten int64 `json:"forgotten"`  // identities that identity-retention has ended, as far as the changelog says
	SweepsDue int64 `json:"sweeps_due"` // identities that the next sweep has to look at

	Lost       int64 `json:"lost"`
	Doubled    int64 `json:"doubled"`
	Different  int64 `json:"different"`
	Unexpected int64 `json:"unexpected"`

	Differences []Difference `json:"differences"`
	Notes       []string     `json:"notes"` // what could not be looked at
	Took        float64      `json:"took"`  // seconds, without the wait for rest

	most int
}

// OK reports whether nothing was found.
func (r Report) OK() bool { return r.Lost+r.Doubled+r.Different+r.Unexpected == 0 }

func (r *Report) add(d Difference) {
	switch d.Kind {
	case Lost:
		r.Lost++
	case Doubled:
		r.Doubled++
	case Different:
		r.Different++
	default:
		r.Unexpected++
	}
	if len(r.Differences) < r.most {
		r.Differences = append(r.Differences, d)
	}
}

// ErrNotAtRest means that the application still had something to do when the
// time was over.
var ErrNotAtRest = errors.New("the application is not at rest")

// ErrHistoryGone means that a topic has lost its beginning to retention: what
// was derived from it cannot be checked.
var ErrHistoryGone = errors.New("the beginning is gone")

// Run audits everything once.
func Run(ctx context.Context, o Options) (Report, error) {
	a, err := New(o)
	if err != nil {
		return Report{}, err
	}
	defer a.Close()
	return a.Advance(ctx)
}
