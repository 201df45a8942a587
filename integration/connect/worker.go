package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"handprint/internal/javakafka"
)

// connector is one FileStreamSink: a topic, the file it is copied to, and the
// settings that differ.
type connector struct {
	name, topic, file string
	settings          map[string]string
}

// readCommitted is what every connector on handprint's topics needs.
var readCommitted = map[string]string{"consumer.override.isolation.level": "read_committed"}

// addressed makes a sink write where each record came from, behind its fields.
var addressed = map[string]string{
	"transforms":                         "address",
	"transforms.address.type":            "org.apache.kafka.connect.transforms.InsertField$Value",
	"transforms.address.offset.field":    offsetField,
	"transforms.address.partition.field": partitionField,
}

const (
	offsetField    = "copied_offset"
	partitionField = "copied_partition"
)

// settings puts maps over one another.
func settings(all ...map[string]string) map[string]string {
	sum := make(map[string]string)
	for _, m := range all {
		maps.Copy(sum, m)
	}
	return sum
}

// worker is a standalone worker that runs.
type worker struct {
	cmd   *exec.Cmd
	ended chan struct{}
	log   string
}

// startWorker starts a worker with these connectors; its files go to dir.
func startWorker(ctx context.Context, dir string, brokers []string, connectors []connector) (*worker, error) {
	classes, err := javakafka.Kafka(ctx)
	if err != nil {
		return nil, err
	}
	converter, err := javakafka.Converter(ctx)
	if err != nil {
		return nil, err
	}
	plugins := filepath.Join(dir, "plugins")
	if err := os.MkdirAll(plugins, 0o755); err != nil {
		return nil, err
	}
	if err := os.Symlink(converter, filepath.Join(plugins, "avro")); err != nil {
		return nil, err
	}
	args := []string{"-Xmx384m", "-XX:TieredStopAtLevel=1", "-Dlog.level=WARN", "-cp", classes, "org.apache.kafka.connect.cli.ConnectStandalone"}
	for name, config := range map[string]map[string]string{"worker": {
		"bootstrap.servers":            strings.Join(brokers, ","),
		"key.converter":                "org.apache.kafka.connect.storage.StringConverter",
		"value.converter":              "org.apache.kafka.connect.storage.StringConverter",
		"offset.storage.file.filename": filepath.Join(dir, "worker.offsets"),
		"offset.flush.interval.ms":     "1000",
		"plugin.path":                  plugins,
		"listeners":                    "http://127.0.0.1:0",
	}} {
		file, err := writeProperties(dir, name, config)
		if err != nil {
			return nil, err
		}
		args = append(args, file)
	}
	for _, c := range connectors {
		file, err := writeProperties(dir, c.name, settings(map[string]string{
			"name":            c.name,
			"connector.class": "org.apache.kafka.connect.file.FileStreamSinkConnector",
			"tasks.max":       "1",
			"topics":          c.topic,
			"file":            c.file,
		}, c.settings))
		if err != nil {
			return nil, err
		}
		args = append(args, file)
	}
	w := &worker{cmd: exec.Command("java", args...), ended: make(chan struct{}), log: filepath.Join(dir, "worker.log")}
	log, err := os.Create(w.log)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	w.cmd.Stdout, w.cmd.Stderr = log, log
	w.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := w.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting the worker: %w", err)
	}
	go func() {
		_ = w.cmd.Wait() // how it ended is in its log
		close(w.ended)
	}()
	return w, nil
}

func writeProperties(dir, name string, config map[string]string) (string, error) {
	var b strings.Builder
	for _, key := range slices.Sorted(maps.Keys(config)) {
		fmt.Fprintf(&b, "%s=%s\n", key, config[key])
	}
	file := filepath.Join(dir, name+".properties")
	return file, os.WriteFile(file, []byte(b.String()), 0o644)
}

// until waits until files have as many lines as wanted.
func (w *worker) until(ctx context.Context, wanted map[string]int) error {
	poll := time.NewTicker(250 * time.Millisecond)
	defer poll.Stop()
	for {
		short := ""
		for file, lines := range wanted {
			text, err := os.ReadFile(file)
			if err != nil && !os.IsNotExist(err) {
				return err
			}
			if n := strings.Count(string(text), "\n"); n < lines {
				short = fmt.Sprintf("%s has %d of %d lines", filepath.Base(file), n, lines)
			}
		}
		if short == "" {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for the worker: %s; see %s: %w", short, w.log, context.Cause(ctx))
		case <-w.ended:
			return fmt.Errorf("the worker has ended while %s; see %s", short, w.log)
		case <-poll.C:
		}
	}
}

// stop ends the worker cleanly, at once where that takes long, and waits.
func (w *worker) stop() {
	_ = w.cmd.Process.Signal(syscall.SIGTERM) // it may have ended by itself
	patience := time.NewTimer(20 * time.Second)
	defer patience.Stop()
	select {
	case <-w.ended:
	case <-patience.C:
		_ = w.cmd.Process.Kill()
		<-w.ended
	}
}
