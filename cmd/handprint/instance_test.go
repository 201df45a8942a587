package main

import (
	"os"
	"testing"
)

// An instance id stays with its directory, and a copy of the directory is told
// from the original until it is confirmed.
func TestInstanceID(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	id, confirm, err := instanceID(dir)
	if err != nil || id == "" || confirm != nil {
		t.Fatalf("a new directory: %q, %v", id, err)
	}
	if again, confirm, err := instanceID(dir); again != id || confirm != nil || err != nil {
		t.Fatalf("the directory again: %q, %v", again, err)
	}
	// Beside the original, so that the inodes differ.
	copied := t.TempDir()
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	same, confirm, err := instanceID(copied)
	if same != id || confirm == nil || err != nil {
		t.Fatalf("a copy: %q, %v, confirm %v", same, err, confirm != nil)
	}
	if err := confirm(); err != nil {
		t.Fatal(err)
	}
	if _, confirm, err := instanceID(copied); confirm != nil || err != nil {
		t.Errorf("a confirmed copy is asked again: %v", err)
	}
	// A directory from before the place was kept is taken as it is.
	if err := os.Remove(dir + "/" + placeFile); err != nil {
		t.Fatal(err)
	}
	if again, confirm, err := instanceID(dir); again != id || confirm != nil || err != nil {
		t.Errorf("an old directory: %q, %v", again, err)
	}
}
