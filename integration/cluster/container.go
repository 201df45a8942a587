package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
)

// containerNode is a broker in a container. It is on the host's network: its
// ports are known before it starts, and stay what they are over restarts.
type containerNode struct {
	docker *testcontainers.DockerClient
	box    testcontainers.Container
	log    string
}

// stopPatience is how long a broker gets to end cleanly.
const stopPatience = 30 * time.Second

func newContainer(ctx context.Context, l *layout, broker int) (node, error) {
	docker, err := testcontainers.NewDockerClientWithOpts(ctx)
	if err != nil {
		return nil, fmt.Errorf("asking for a container engine: %w", err)
	}
	env := environment(l.config(broker, "/tmp/handprint-kafka"))
	env["CLUSTER_ID"] = clusterID
	env["KAFKA_HEAP_OPTS"] = "-Xms128m -Xmx384m"
	env["JAVA_TOOL_OPTIONS"] = quickJava
	request := testcontainers.ContainerRequest{
		Image: Image(),
		Env:   env,
		HostConfigModifier: func(h *container.HostConfig) {
			h.NetworkMode = "host"
		},
	}
	if l.o.Security != nil {
		const file = "/tmp/" + jaasName
		request.Files = []testcontainers.ContainerFile{{Reader: strings.NewReader(jaas), ContainerFilePath: file, FileMode: 0o644}}
		env["JAVA_TOOL_OPTIONS"] += " " + jaasArg(file)
	}
	box, err := testcontainers.GenericContainer(ctx, testcontainers.GenericContainerRequest{ContainerRequest: request})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("making a container of %s: %w", Image(), err), docker.Close())
	}
	return &containerNode{docker, box, filepath.Join(l.o.Dir, fmt.Sprintf("broker-%d.log", broker+1))}, nil
}

func (c *containerNode) start(ctx context.Context) error {
	_, err := c.docker.ContainerStart(ctx, c.box.GetContainerID(), client.ContainerStartOptions{})
	return err
}

func (c *containerNode) stop(ctx context.Context) error {
	patience := int(stopPatience / time.Second)
	_, err := c.docker.ContainerStop(ctx, c.box.GetContainerID(), client.ContainerStopOptions{Timeout: &patience})
	return err
}

func (c *containerNode) kill(ctx context.Context) error {
	ended := c.docker.ContainerWait(ctx, c.box.GetContainerID(), client.ContainerWaitOptions{Condition: container.WaitConditionNotRunning})
	if _, err := c.docker.ContainerKill(ctx, c.box.GetContainerID(), client.ContainerKillOptions{Signal: "KILL"}); err != nil {
		return err
	}
	select {
	case <-ended.Result:
		return nil
	case err := <-ended.Error:
		return err
	}
}

func (c *containerNode) pause(ctx context.Context) error {
	_, err := c.docker.ContainerPause(ctx, c.box.GetContainerID(), client.ContainerPauseOptions{})
	return err
}

func (c *containerNode) resume(ctx context.Context) error {
	_, err := c.docker.ContainerUnpause(ctx, c.box.GetContainerID(), client.ContainerUnpauseOptions{})
	return err
}

func (c *containerNode) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	logs := c.keepLog(ctx)
	return errors.Join(logs, c.box.Terminate(ctx, testcontainers.StopTimeout(0)), c.docker.Close())
}

// keepLog copies what the broker has said to a file.
func (c *containerNode) keepLog(ctx context.Context) error {
	said, err := c.box.Logs(ctx)
	if err != nil {
		return err
	}
	defer said.Close()
	file, err := os.Create(c.log)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, said)
	return errors.Join(err, file.Close())
}
