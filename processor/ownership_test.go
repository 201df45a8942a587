package processor

import (
	"testing"

	"handprint/processor/assignor"
)

// What is owned belongs to the member of the group that it was assigned to. If the
// client comes back as another one, nobody has it any more, whatever the group says
// from then on; after a loss that the client has told of it begins anew.
func TestOwnershipIsOfOneMember(t *testing.T) {
	cfg := Config{Partitions: 1}
	o := newOwnership(&cfg, &assignor.Assignor{}, nil, func() {}, func() {})
	if o.setMember("a", 1); !o.isCurrentMember("a", 1) || o.isReplaced() {
		t.Fatal("it is not a's")
	}
	if o.isCurrentMember("b", 1) {
		t.Error("it is b's, who has joined and was assigned nothing yet")
	}
	o.onLost(t.Context(), nil, nil)
	if o.isCurrentMember("a", 1) || o.isCurrentMember("b", 1) {
		t.Error("it is somebody's though it was lost")
	}
	if o.setMember("b", 1); !o.isCurrentMember("b", 1) || o.isReplaced() {
		t.Error("it is not b's after a loss that was told")
	}
	if o.setMember("c", 1); o.isCurrentMember("b", 1) || o.isCurrentMember("c", 1) || !o.isReplaced() {
		t.Error("c has taken b's place without a loss that was told")
	}
}
