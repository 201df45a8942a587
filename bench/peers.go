package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
)

// peers is where the contenders from outside live, as seen from the top of the
// repository, where bench is run.
const peers = "bench/peers"

// build runs a command that makes a contender ready to start, once.
func (b *rig) build(ctx context.Context, key, dir string, command ...string) error {
	if b.built[key] {
		return nil
	}
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building (%s): %w: %s", command[0], err, lastLines(string(out), 10))
	}
	b.built[key] = true
	return nil
}

func streamsCommand(ctx context.Context, b *rig, j *job) (*exec.Cmd, error) {
	dir := filepath.Join(peers, "kafkastreams")
	if err := b.build(ctx, "streams", dir, "mvn", "-q", "-B", "package", "dependency:copy-dependencies", "-DoutputDirectory=target/lib"); err != nil {
		return nil, err
	}
	target, err := filepath.Abs(filepath.Join(dir, "target"))
	if err != nil {
		return nil, err
	}
	args := append([]string{fmt.Sprintf("-Xmx%dm", b.limit.heap()), "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"}, j.arguments("-D")...)
	args = append(args, "-Dcommit-ms="+strconv.FormatInt(b.commit.Milliseconds(), 10), "-Dthreads=2")
	if j.Static {
		args = append(args, "-Dinstance=bench")
	}
	classes := target + "/peer-kafkastreams-1.jar" + string(filepath.ListSeparator) + target + "/lib/*"
	return exec.Command("java", append(args, "-cp", classes, "handprint.peer.App")...), nil
}

func groupCommand(ctx context.Context, b *rig, j *job) (*exec.Cmd, error) {
	binary := filepath.Join(b.dir, "group")
	if err := b.build(ctx, "group", "", "go", "build", "-o", binary, "./"+peers+"/group"); err != nil {
		return nil, err
	}
	return exec.Command(binary, j.arguments("-")...), nil
}

// pythonCommand runs the peer in an environment of its own, in the user's cache.
// PYTHON names another interpreter that has what the peer needs.
func pythonCommand(ctx context.Context, b *rig, j *job) (*exec.Cmd, error) {
	python := os.Getenv("PYTHON")
	if python == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return nil, err
		}
		env := filepath.Join(cache, "handprint", "python-peer")
		python = filepath.Join(env, "bin", "python")
		if err := b.build(ctx, "python environment", "", "python3", "-m", "venv", env); err != nil {
			return nil, err
		}
		if err := b.build(ctx, "python libraries", "", python, "-m", "pip", "install", "-q", "-r", peers+"/python/requirements.txt"); err != nil {
			return nil, err
		}
	}
	return exec.Command(python, append([]string{peers + "/python/peer.py"}, j.arguments("--")...)...), nil
}
