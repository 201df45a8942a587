package siem

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"handprint/attribution"
)

const smallCatalogue = `{"type":"bundle","objects":[
 {"type":"attack-pattern","id":"attack-pattern--1","name":"Indicator Removal (new)","external_references":[{"source_name":"mitre-attack","external_id":"T1070"}]},
 {"type":"attack-pattern","id":"attack-pattern--2","name":"Gone","revoked":true,"external_references":[{"source_name":"mitre-attack","external_id":"T1572"}]},
 {"type":"attack-pattern","id":"attack-pattern--3","name":"DNS","external_references":[{"source_name":"mitre-attack","external_id":"T1071.004"}]},
 {"type":"x-mitre-tactic","id":"x-mitre-tactic--1","name":"Discovery","external_references":[{"source_name":"mitre-attack","external_id":"TA0007"}]}]}`

func TestCatalogue(t *testing.T) {
	name := filepath.Join(t.TempDir(), "enterprise-attack.json")
	if err := os.WriteFile(name, []byte(smallCatalogue), 0o644); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(smallCatalogue))
	before := cataloguesRead.Load()
	c, err := NewCatalogue(name, hex.EncodeToString(sum[:]))
	if err != nil {
		t.Fatal(err)
	}
	m := DefaultAttackMap()
	if list, err := c.Complete(m.Of("cognitive.planning_depth", attribution.Stable, attribution.Value(`"deep"`))); err != nil || len(list) != 0 || cataloguesRead.Load() != before {
		t.Errorf("a value without an entry read the catalogue: %v, %v", list, err)
	}
	list, err := c.Complete(m.Of("operational.cleanup_behavior", attribution.Stable, attribution.Value(`"thorough"`)))
	if err != nil || len(list) != 1 || list[0].Name != "Indicator Removal (new)" {
		t.Errorf("%+v, %v", list, err)
	}
	list, err = c.Complete(m.Of("toolchain.protocol_abuse.dns_exfil_tool", attribution.Drifting, attribution.Value(`"iodine"`)))
	if err != nil || len(list) != 1 || list[0].ID != "T1071.004" {
		t.Errorf("a revoked entry stays: %+v, %v", list, err)
	}
	if cataloguesRead.Load() != before+1 {
		t.Errorf("read %d times", cataloguesRead.Load()-before)
	}
	wrong, _ := NewCatalogue(name, strings.Repeat("a", 64))
	if _, err := wrong.Complete(list); err == nil || !strings.Contains(err.Error(), "SHA-256") {
		t.Errorf("another digest: %v", err)
	}
}

func TestAttackMap(t *testing.T) {
	m := DefaultAttackMap()
	r := attribution.DefaultRegistry()
	for name, values := range m.byPrimitive {
		p := r.Lookup([]byte(name))
		if p == nil {
			t.Errorf("%s is no primitive", name)
			continue
		}
		for v := range values.byValue {
			if _, fit := r.Check([]byte(name), attribution.Value(v)); fit != attribution.Fits {
				t.Errorf("%s does not take %s", name, v)
			}
		}
	}
	for _, c := range []struct {
		primitive, value string
		state            attribution.State
		want             int
	}{
		{"toolchain.protocol_abuse.responder_signature", `"LLMNR"`, attribution.Stable, 1},
		{"toolchain.protocol_abuse.responder_signature", `null`, attribution.Stable, 0},
		{"toolchain.protocol_abuse.mitm6_signature", `true`, attribution.Stable, 1},
		{"toolchain.protocol_abuse.mitm6_signature", `false`, attribution.Stable, 0},
		{"operational.objective", `"recon"`, attribution.Unknown, 0},
		{"operational.objective", `"recon"`, attribution.MultiActor, 1},
	} {
		if got := m.Of(c.primitive, c.state, attribution.Value(c.value)); len(got) != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}
