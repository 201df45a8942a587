// Package registry starts a real schema registry for tests: Apicurio Registry
// with its data in memory, a Java process of this machine. Where
// HANDPRINT_REGISTRY names one, that is used instead. What handprint does with
// a registry is not here.
package registry

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"handprint/internal/javakafka"
)

// Variable is the environment variable that names a registry to use, by the
// address of its Confluent API.
const Variable = "HANDPRINT_REGISTRY"

// confluentAPI is where Apicurio has the API that Confluent's registry has.
const confluentAPI = "/apis/ccompat/v7"

// Registry is a registry that runs.
type Registry struct {
	// URL is the address of its Confluent API.
	URL string

	cmd   *exec.Cmd     // nil: somebody else's
	ended chan struct{} // closed when cmd has ended
	log   string
}

// Start starts a registry, with its log in dir, and returns when it answers.
func Start(ctx context.Context, dir string) (*Registry, error) {
	if url := os.Getenv(Variable); url != "" {
		r := &Registry{URL: url}
		return r, r.await(ctx)
	}
	jar, err := javakafka.Registry(ctx)
	if err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, fmt.Errorf("looking for a free port: %w", err)
	}
	r := &Registry{
		URL:   "http://127.0.0.1:" + strconv.Itoa(port) + confluentAPI,
		log:   filepath.Join(dir, "registry.log"),
		ended: make(chan struct{}),
	}
	log, err := os.Create(r.log)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	r.cmd = exec.Command("java", "-Xmx384m", "-XX:TieredStopAtLevel=1",
		"-Dquarkus.http.host=127.0.0.1", "-Dquarkus.http.port="+strconv.Itoa(port), "-jar", jar)
	r.cmd.Dir = filepath.Dir(jar)
	r.cmd.Stdout, r.cmd.Stderr = log, log
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := r.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting the registry: %w", err)
	}
	go func() {
		_ = r.cmd.Wait() // how it ended is in its log
		close(r.ended)
	}()
	if err := r.await(ctx); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

// await waits until the registry answers, or has ended.
func (r *Registry) await(ctx context.Context) error {
	poll := time.NewTicker(200 * time.Millisecond)
	defer poll.Stop()
	for {
		err := r.ask(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for the registry at %s: %w", r.URL, err)
		case <-r.ended:
			return fmt.Errorf("the registry has ended; see %s", r.log)
		case <-poll.C:
		}
	}
}

func (r *Registry) ask(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, r.URL+"/subjects", nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("it answers %s", answer.Status)
	}
	return nil
}

// Close ends the registry and waits for its end. One of somebody else's stays.
func (r *Registry) Close() {
	if r.cmd == nil {
		return
	}
	_ = r.cmd.Process.Kill() // it may have ended by itself
	<-r.ended
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
