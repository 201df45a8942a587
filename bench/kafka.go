package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"handprint/bench/internal/proc"
	"handprint/internal/javakafka"
)

// kafkaConfig is one real broker that is its own controller, with the defaults
// of a broker but for what one node needs.
const kafkaConfig = `process.roles=broker,controller
node.id=1
controller.quorum.voters=1@%[2]s
listeners=PLAINTEXT://%[1]s,CONTROLLER://%[2]s
advertised.listeners=PLAINTEXT://%[1]s
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=%[3]s
offsets.topic.replication.factor=1
offsets.topic.num.partitions=8
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=8
min.insync.replicas=1
default.replication.factor=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
`

// startKafka starts a real broker as a process of its own.
func (b *rig) startKafka(ctx context.Context) error {
	classes, err := javakafka.Kafka(ctx)
	if err != nil {
		return err
	}
	client, err := freeAddress()
	if err != nil {
		return err
	}
	controller, err := freeAddress()
	if err != nil {
		return err
	}
	data := filepath.Join(b.dir, "kafka")
	config := filepath.Join(b.dir, "kafka.properties")
	if err := os.WriteFile(config, fmt.Appendf(nil, kafkaConfig, client, controller, data), 0o644); err != nil {
		return err
	}
	format := exec.CommandContext(ctx, "java", "-cp", classes, "kafka.tools.StorageTool", "format",
		"-t", "aGFuZHByaW50LWJlbmNoMA", "-c", config)
	if out, err := format.CombinedOutput(); err != nil {
		return fmt.Errorf("formatting the broker's directory: %w: %s", err, out)
	}
	log, err := os.Create(filepath.Join(b.dir, "kafka.log"))
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command("java", "-Xms1g", "-Xmx1g", "-XX:+UseG1GC", "-Dlog.level=WARN", "-cp", classes, "kafka.Kafka", config)
	cmd.Stdout, cmd.Stderr = log, log
	proc.DieWithParent(cmd)
	if err := cmd.Start(); err != nil {
		return err
	}
	b.kafka = cmd
	b.brokers = []string{client}
	for deadline := time.Now().Add(time.Minute); ; {
		conn, err := net.DialTimeout("tcp", client, time.Second)
		if err == nil {
			return conn.Close()
		}
		if time.Now().After(deadline) {
			text, _ := os.ReadFile(log.Name())
			return fmt.Errorf("the broker does not listen: %w: %s", err, lastLines(string(text), 5))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// freeAddress is one at which nobody listens just now.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
