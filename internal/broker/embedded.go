package broker

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// lockName is the file in a data directory that keeps a second broker out, and
// cleanName the one that says that the last broker ended by Close.
const (
	lockName  = "LOCK"
	cleanName = "CLEAN"
)

// Options say what an embedded broker is like. The zero value is a broker in
// memory on a free port.
type Options struct {
	// Dir keeps records, offsets and transactions on disk, so that a later
	// broker on the same directory goes on where this one ended. It is created
	// if missing. Empty keeps everything in memory.
	Dir string
	// Port is the loopback port to listen on; 0 takes a free one.
	Port int
	// SyncWrites makes every produced batch durable before it is answered.
	// Without it a machine crash can lose the last ones, as with a single
	// Kafka broker; a crash of the process cannot.
	SyncWrites bool
	// CleanInterval is how often compaction and retention run; 0 means every
	// five minutes.
	CleanInterval time.Duration
	// Logger gets the broker's warnings and errors; nil discards them.
	Logger *slog.Logger
}

// Embedded is a Kafka broker inside the process. It has one node, so
// replication factors above 1 cannot be had.
type Embedded struct {
	cluster *kfake.Cluster
	addrs   []string
	dir     string    // empty in memory
	lock    io.Closer // nil in memory and when closed
}

// Start starts an embedded broker. It fails if the data directory cannot be
// written, is in use by another broker, or holds what this version cannot
// read, and if the port is taken; a failed start leaves the directory as it
// was.
func Start(o Options) (*Embedded, error) {
	e := new(Embedded)
	clean := o.CleanInterval
	if clean <= 0 {
		clean = 5 * time.Minute
	}
	opts := []kfake.Opt{
		kfake.NumBrokers(1),
		kfake.ClusterID("handprint-embedded"),
		// A client asks for its session timeout; the floor of a real broker
		// (6 s) would only make tests of a lost member slow.
		kfake.GroupMinSessionTimeout(100 * time.Millisecond),
		kfake.BrokerConfigs(map[string]string{
			"log.cleaner.backoff.ms":     strconv.FormatInt(clean.Milliseconds(), 10),
			"default.replication.factor": "1",
		}),
	}
	if o.Port != 0 {
		opts = append(opts, kfake.Ports(o.Port))
	}
	if o.Logger != nil {
		opts = append(opts, kfake.WithLogger(slogAdapter{o.Logger}))
	}
	repair := false
	if o.Dir != "" {
		lock, err := lockDir(o.Dir)
		if err != nil {
			return nil, fmt.Errorf("embedded broker: %w", err)
		}
		e.lock, e.dir = lock, o.Dir
		wasKilled, err := crashed(o.Dir)
		if err != nil {
			return nil, fmt.Errorf("embedded broker: %w", errors.Join(err, lock.Close()))
		}
		repair = wasKilled
		opts = append(opts, kfake.DataDir(o.Dir))
		if o.SyncWrites {
			opts = append(opts, kfake.SyncWrites())
		}
	}
	cluster, err := kfake.NewCluster(opts...)
	if err != nil {
		if e.lock != nil {
			err = errors.Join(err, e.lock.Close())
			return nil, fmt.Errorf("embedded broker: opening %s: %w", o.Dir, err)
		}
		return nil, fmt.Errorf("embedded broker: %w", err)
	}
	e.cluster = cluster
	e.addrs = cluster.ListenAddrs()
	if repair {
		if err := e.abortOrphans(); err != nil {
			cluster.Close()
			return nil, fmt.Errorf("embedded broker: after a crash: %w", errors.Join(err, e.lock.Close()))
		}
	}
	if e.dir != "" {
		// From here on the directory counts as crashed until Close says
		// otherwise.
		if err := os.Remove(filepath.Join(e.dir, cleanName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			cluster.Close()
			return nil, fmt.Errorf("embedded broker: data directory %s cannot be written: %w", e.dir, errors.Join(cause(err), e.lock.Close()))
		}
	}
	return e, nil
}

// lockDir creates dir if it is missing and keeps other brokers out of it,
// those of this process too.
func lockDir(dir string) (io.Closer, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("data directory %s: %w", dir, err)
	}
	if err := os.MkdirAll(abs, 0o750); err != nil {
		return nil, fmt.Errorf("data directory %s cannot be created: %w", dir, cause(err))
	}
	lock, err := vfs.Default.Lock(filepath.Join(abs, lockName))
	if err != nil {
		if pe := (*fs.PathError)(nil); errors.As(err, &pe) {
			return nil, fmt.Errorf("data directory %s cannot be written: %w", dir, pe.Err)
		}
		return nil, fmt.Errorf("data directory %s is in use by another broker: %w", dir, err)
	}
	return lock, nil
}

// cause drops the operation and path that a message names already.
func cause(err error) error {
	if pe := (*fs.PathError)(nil); errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// Addrs returns the host:port to connect to, for kgo.SeedBrokers and for
// showing to people.
func (e *Embedded) Addrs() []string { return append([]string(nil), e.addrs...) }

// ClientOpts returns what a client needs to connect to this broker.
func (e *Embedded) ClientOpts() []kgo.Opt {
	return []kgo.Opt{
		kgo.SeedBrokers(e.addrs...),
		// The default of 5 s spares a cluster; here it would only be waited
		// for after every topic that is created.
		kgo.MetadataMinAge(20 * time.Millisecond),
		// It takes what clients measure and nobody looks at it.
		kgo.DisableClientMetrics(),
	}
}

// Close stops the broker and, if it has a directory, saves what is not on disk
// yet and gives the directory up. Clients should be closed before: those still
// connected see their connections die. Closing twice does nothing.
func (e *Embedded) Close() error {
	e.cluster.Close()
	if e.lock == nil {
		return nil
	}
	lock := e.lock
	e.lock = nil
	err := os.WriteFile(filepath.Join(e.dir, cleanName), nil, 0o640)
	if err = errors.Join(err, lock.Close()); err != nil {
		return fmt.Errorf("embedded broker: closing data directory %s: %w", e.dir, err)
	}
	return nil
}

// slogAdapter passes on what a person may have to act upon; the rest is noise
// of one line per request.
type slogAdapter struct{ log *slog.Logger }

// Logf implements kfake.Logger.
func (a slogAdapter) Logf(level kfake.LogLevel, format string, args ...any) {
	switch level {
	case kfake.LogLevelError:
		a.log.Error("embedded broker: " + fmt.Sprintf(format, args...))
	case kfake.LogLevelWarn:
		a.log.Warn("embedded broker: " + fmt.Sprintf(format, args...))
	}
}
