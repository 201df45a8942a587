// Package java gets the Java software that tests run against, with Maven: the
// jars that pom.xml names, into the user's cache, once for each content of the
// file. Running them is the caller's.
package java

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

//go:embed log4j2.xml
var log4j []byte

// Kafka returns the class path of Kafka's brokers, tools and Connect. It needs
// mvn on the path when the jars are not in the cache yet.
func Kafka(ctx context.Context) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "handprint", fmt.Sprintf("java-%x", sha256.Sum256(pom))[:21])
	classes := dir + string(filepath.ListSeparator) + filepath.Join(dir, "*")
	if _, err := os.Stat(dir); err == nil {
		return classes, nil
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
	for name, text := range map[string][]byte{"pom.xml": pom, "log4j2.xml": log4j} {
		if err := os.WriteFile(filepath.Join(making, name), text, 0o644); err != nil {
			return "", err
		}
	}
	mvn := exec.CommandContext(ctx, "mvn", "-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory="+making)
	mvn.Dir = making
	if out, err := mvn.CombinedOutput(); err != nil {
		return "", fmt.Errorf("getting Kafka's jars with Maven: %w: %s", err, out)
	}
	if err := os.Chmod(making, 0o755); err != nil {
		return "", err
	}
	if err := os.Rename(making, dir); err != nil {
		if _, taken := os.Stat(dir); taken != nil {
			return "", err
		}
	}
	return classes, nil
}
