// Package assignor decides which member of the consumer group runs which task,
// and which process keeps which standby copy. It has the group's assignor
// (assignor.go), the policy (placement.go) and the wire format of what members
// tell each other for it (metadata.go).
//
// Not here: what a member does with its tasks, which is package processor's.
package assignor
