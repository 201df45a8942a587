package main

import "testing"

func TestMergeVectorsPass(t *testing.T) {
	passed, failed, err := vectors("../../../testdata/vectors/merge.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	if failed > 0 || passed == 0 {
		t.Errorf("%d passed, %d failed", passed, failed)
	}
}
