package cluster

import (
	"context"
	"fmt"
	"os"
	"os/exec"

	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
)

// Way is how brokers are run.
type Way string

// The ways, by the names that HANDPRINT_CLUSTER has for them.
const (
	Containers Way = "docker"
	Processes  Way = "process"
	Existing   Way = "brokers"
)

// The environment variables that say which cluster tests use.
const (
	WayVariable     = "HANDPRINT_CLUSTER"     // docker, process or brokers
	ImageVariable   = "HANDPRINT_KAFKA_IMAGE" // for docker
	BrokersVariable = "HANDPRINT_BROKERS"     // host:port, commas between; for brokers
)

// DefaultImage is what HANDPRINT_KAFKA_IMAGE is if it is not set.
const DefaultImage = "apache/kafka:4.3.1"

// Image is the image that containers are made from.
func Image() string {
	if image := os.Getenv(ImageVariable); image != "" {
		return image
	}
	return DefaultImage
}

// Choose says how brokers are run: as HANDPRINT_CLUSTER says, else those of
// HANDPRINT_BROKERS if it is set, else containers if an engine answers and has
// or gets the image, else processes.
func Choose(ctx context.Context) (Way, error) {
	switch way := Way(os.Getenv(WayVariable)); way {
	case Containers, Processes:
		return way, nil
	case Existing:
		if os.Getenv(BrokersVariable) == "" {
			return "", fmt.Errorf("%s=%s needs %s", WayVariable, way, BrokersVariable)
		}
		return way, nil
	case "":
	default:
		return "", fmt.Errorf("%s must be docker, process or brokers, is %s", WayVariable, way)
	}
	if os.Getenv(BrokersVariable) != "" {
		return Existing, nil
	}
	why := haveImage(ctx)
	if why == nil {
		return Containers, nil
	}
	for _, tool := range []string{"java", "mvn"} {
		if _, err := exec.LookPath(tool); err != nil {
			return "", fmt.Errorf("no Kafka to test with: no containers (%w), no processes (no %s), and %s is not set", why, tool, BrokersVariable)
		}
	}
	return Processes, nil
}

// haveImage gets the image from the engine, or into it.
func haveImage(ctx context.Context) error {
	docker, err := testcontainers.NewDockerClientWithOpts(ctx)
	if err != nil {
		return err
	}
	defer docker.Close()
	if _, err := docker.ImageInspect(ctx, Image()); err == nil {
		return nil
	}
	pull, err := docker.ImagePull(ctx, Image(), client.ImagePullOptions{})
	if err != nil {
		return err
	}
	return pull.Wait(ctx)
}
