package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"handprint/internal/javakafka"
)

// processNode is a broker as a Java process of this machine.
type processNode struct {
	dir, log string
	args     []string // of java

	mu    sync.Mutex
	cmd   *exec.Cmd     // nil: not started
	ended chan struct{} // closed when cmd has ended
}

// quickJava makes brokers start soon: they do not live long enough to gain from
// the better compiler. The image of a test may know the level of the log.
const quickJava = "-XX:TieredStopAtLevel=1 -Dlog.level=WARN"

func newProcess(ctx context.Context, l *layout, broker int) (node, error) {
	libs, err := javakafka.Kafka(ctx)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(l.o.Dir, fmt.Sprintf("broker-%d", broker+1))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "server.properties")
	if err := os.WriteFile(file, []byte(properties(l.config(broker, filepath.Join(dir, "data")))), 0o644); err != nil {
		return nil, err
	}
	p := &processNode{dir: dir, log: dir + ".log"}
	p.args = append([]string{"-Xms128m", "-Xmx384m"}, strings.Fields(quickJava)...)
	if l.o.Security != nil {
		file := filepath.Join(dir, jaasName)
		if err := os.WriteFile(file, []byte(jaas), 0o644); err != nil {
			return nil, err
		}
		p.args = append(p.args, jaasArg(file))
	}
	p.args = append(p.args, "-cp", libs)
	format := exec.CommandContext(ctx, "java", append(p.args, "kafka.tools.StorageTool", "format", "-t", clusterID, "-c", file)...)
	if out, err := format.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("formatting the data of broker %d: %w: %s", broker+1, err, out)
	}
	p.args = append(p.args, "kafka.Kafka", file)
	return p, nil
}

func (p *processNode) start(context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running() {
		return nil
	}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command("java", p.args...)
	cmd.Stdout, cmd.Stderr = log, log
	// A group of its own: an interrupt at the terminal is for the test, which
	// ends its brokers itself.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // how it ended is in its log
		close(ended)
	}()
	p.cmd, p.ended = cmd, ended
	return nil
}

// running is called with mu held.
func (p *processNode) running() bool {
	if p.cmd == nil {
		return false
	}
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

func (p *processNode) signal(s syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.running() {
		return fmt.Errorf("it does not run; see %s", p.log)
	}
	return p.cmd.Process.Signal(s)
}

func (p *processNode) stop(ctx context.Context) error {
	if err := p.signal(syscall.SIGTERM); err != nil {
		return err
	}
	patience := time.NewTimer(stopPatience)
	defer patience.Stop()
	select {
	case <-p.ended:
		return nil
	case <-patience.C:
	case <-ctx.Done():
	}
	return p.kill(ctx)
}

func (p *processNode) kill(context.Context) error {
	if err := p.signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-p.ended
	return nil
}

func (p *processNode) pause(context.Context) error  { return p.signal(syscall.SIGSTOP) }
func (p *processNode) resume(context.Context) error { return p.signal(syscall.SIGCONT) }

// backup copies the data of a broker that does not run.
func (p *processNode) backup() error { return replaceDir(p.data()+".backup", p.data()) }

// restore puts the data back that was copied last.
func (p *processNode) restore() error { return replaceDir(p.data(), p.data()+".backup") }

func (p *processNode) data() string { return filepath.Join(p.dir, "data") }

func replaceDir(to, from string) error {
	if err := os.RemoveAll(to); err != nil {
		return err
	}
	return os.CopyFS(to, os.DirFS(from))
}

func (p *processNode) close() error {
	var err error
	p.mu.Lock()
	running := p.running()
	p.mu.Unlock()
	if running {
		err = p.kill(context.Background())
	}
	return errors.Join(err, os.RemoveAll(p.dir))
}
