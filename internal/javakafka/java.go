// Package javakafka gets the Java software that tests run against, with Maven: what
// the poms in this folder name, into the user's cache, once for each content of
// the file. Running it is the caller's.
package javakafka

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
)

//go:embed pom.xml
var pom []byte

//go:embed converter.pom.xml
var converterPOM []byte

//go:embed registry.pom.xml
var registryPOM []byte

//go:embed log4j2.xml
var log4j []byte

// Kafka returns the class path of Kafka's brokers, tools and Connect. It needs
// mvn on the path when the jars are not in the cache yet.
func Kafka(ctx context.Context) (string, error) {
	dir, err := fetch(ctx, "java", "copy-dependencies", map[string][]byte{"pom.xml": pom, "log4j2.xml": log4j})
	if err != nil {
		return "", fmt.Errorf("getting Kafka's jars: %w", err)
	}
	return dir + string(filepath.ListSeparator) + filepath.Join(dir, "*"), nil
}

// Converter returns the folder of an Avro converter for Kafka Connect, which
// an entry of a worker's plugin.path may be.
func Converter(ctx context.Context) (string, error) {
	dir, err := fetch(ctx, "converter", "copy-dependencies", map[string][]byte{"pom.xml": converterPOM})
	if err != nil {
		return "", fmt.Errorf("getting the Avro converter's jars: %w", err)
	}
	return dir, nil
}

// Registry returns the jar that is a schema registry by itself: `java -jar`.
func Registry(ctx context.Context) (string, error) {
	dir, err := fetch(ctx, "registry", "unpack-dependencies", map[string][]byte{"pom.xml": registryPOM})
	if err != nil {
		return "", fmt.Errorf("getting the registry: %w", err)
	}
	found, err := filepath.Glob(filepath.Join(dir, "*-runner.jar"))
	if err != nil || len(found) != 1 {
		return "", fmt.Errorf("looking for the registry's jar: %d of them in %s", len(found), dir)
	}
	return found[0], nil
}

// fetch returns a folder with what a goal of Maven's dependency plugin makes of
// files["pom.xml"], and with the other files.
func fetch(ctx context.Context, name, goal string, files map[string][]byte) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "handprint", fmt.Sprintf("%s-%x", name, sha256.Sum256(files["pom.xml"]))[:len(name)+17])
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	// Whoever is ready first gives the folder its name: it is there as a whole
	// or not at all.
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", err
	}
	making, err := os.MkdirTemp(filepath.Dir(dir), "making-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(making)
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(making, name), text, 0o644); err != nil {
			return "", err
		}
	}
	mvn := exec.CommandContext(ctx, "mvn", "-q", "-B", "dependency:"+goal, "-DoutputDirectory="+making)
	mvn.Dir = making
	if out, err := mvn.CombinedOutput(); err != nil {
		return "", fmt.Errorf("mvn dependency:%s: %w: %s", goal, err, out)
	}
	if err := os.Chmod(making, 0o755); err != nil {
		return "", err
	}
	if err := os.Rename(making, dir); err != nil {
		if _, taken := os.Stat(dir); taken != nil {
			return "", err
		}
	}
	return dir, nil
}
