package registry

import (
	"errors"
	"net/http"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/linkedin/goavro/v2"
	"github.com/twmb/franz-go/pkg/sr"

	"handprint/schemas"
)

// Schemas of a state row as an older and a newer handprint might have them: with
// a field that is gone since, without one that was added with a default, with a
// type that is wider now.
var (
	olderRow = strings.NewReplacer(
		`{"name": "current_value_number", "type": ["null", "double"], "default": null, "doc": "The same value if it is a number, else null; for sinks that compare numbers. Readers go by current_value."},`, `{"name": "remark", "type": "string", "default": ""},`,
		`{"name": "observation_count", "type": "long"`, `{"name": "observation_count", "type": "int"`,
	).Replace(schemas.StateRowContract.Schema())
	newerRow = strings.NewReplacer(
		`{"name": "schema_version"`, `{"name": "added", "type": ["null", {"type": "map", "values": "long"}], "default": null}, {"name": "schema_version"`,
		`"symbols": ["unknown", "stable", "drifting", "conflicted", "multi_actor"]`, `"symbols": ["unknown", "stable", "drifting", "conflicted", "multi_actor", "dormant"]`,
		`{"name": "current_value_number", "type": ["null", "double"], "default": null, "doc": "The same value if it is a number, else null; for sinks that compare numbers. Readers go by current_value."},`, ``,
	).Replace(schemas.StateRowContract.Schema())
	brokenRow = strings.Replace(schemas.StateRowContract.Schema(), `{"name": "schema_version"`, `{"name": "added", "type": "string"}, {"name": "schema_version"`, 1)
)

// Records by an older and by a newer schema are read as this version's.
func TestRegistryEvolves(t *testing.T) {
	target, ctx := registryURL(t), t.Context()
	f := newFront(t, target, nil)
	name := subject(t)
	want := row("I")
	native := map[string]any{
		"identity_uuid": "I", "primitive": "a.b", "current_value": string(want.Row.Value), "state": "drifting", "confidence": 0.5, "last_change_ts": 0.0,
		"last_observation_ts": 0.0, "schema_version": int64(1), "updated_at": 7.25,
		"remark": "gone", "added": goavro.Union("map", map[string]any{"k": int64(1)}),
	}
	for _, version := range []struct {
		text  string
		count any
	}{{olderRow, int32(3)}, {schemas.StateRowContract.Schema(), int64(3)}, {newerRow, int64(3)}} {
		registered, err := f.sr.CreateSchema(ctx, name, sr.Schema{Schema: version.text})
		if err != nil {
			t.Fatal(err)
		}
		native["observation_count"] = version.count
		codec, err := goavro.NewCodec(version.text)
		if err != nil {
			t.Fatal(err)
		}
		record, err := codec.BinaryFromNative(schemas.AppendHeader(nil, uint32(registered.ID)), native)
		if err != nil {
			t.Fatal(err)
		}
		reader := newFront(t, target, nil)
		if err := reader.Await(ctx, record); err != nil {
			t.Fatal(err)
		}
		if got, err := reader.Writers().StateRow(record); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%+v, %v; want %+v", got, err, want)
		}
	}
	if err := schemas.CheckReads(brokenRow, schemas.StateRowContract.Schema()); err == nil {
		t.Error("a new field without a default reads what was written without it")
	}
}

// TestRealRegistryRefusesWhatIsIncompatible needs a registry that knows the
// rules: make registry-check.
func TestRealRegistryRefusesWhatIsIncompatible(t *testing.T) {
	if os.Getenv("HANDPRINT_REGISTRY") == "" {
		t.Skip("needs HANDPRINT_REGISTRY: make registry-check")
	}
	ctx := t.Context()
	f := newFront(t, registryURL(t), nil)
	name := subject(t)
	if _, err := f.sr.CreateSchema(ctx, name, sr.Schema{Schema: olderRow}); err != nil {
		t.Fatal(err)
	}
	for _, r := range f.sr.SetCompatibility(ctx, sr.SetCompatibility{Level: sr.CompatBackward}, name) {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	if reasons, err := f.Check(ctx, name, schemas.StateRowContract); err != nil || len(reasons) > 0 {
		t.Fatalf("a compatible schema: %q, %v", reasons, err)
	}
	if _, err := f.Register(ctx, name, schemas.StateRowContract); err != nil {
		t.Fatal(err)
	}
	// An identity event in the place of a row: nothing of it can be read.
	reasons, err := f.Check(ctx, name, schemas.TransitionContract)
	if err != nil || len(reasons) == 0 {
		t.Errorf("an incompatible schema: %q, %v", reasons, err)
	}
	t.Logf("the registry's reasons: %q", reasons)
	_, err = f.Register(ctx, name, schemas.TransitionContract)
	var no *RefusedError
	if !errors.As(err, &no) || no.Status != http.StatusConflict || !no.Incompatible() || len(no.Reason) < 10 {
		t.Errorf("registering it: %v", err)
	}
	t.Logf("registering it: %v", err)
	if _, err := f.sr.CreateSchema(ctx, name, sr.Schema{Schema: brokenRow}); err == nil {
		t.Error("a new field without a default was taken")
	}
	if _, err := f.sr.CreateSchema(ctx, name, sr.Schema{Schema: newerRow}); err != nil {
		t.Errorf("a newer compatible schema: %v", err)
	}
}
