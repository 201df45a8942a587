package siem

import (
	"strconv"

	"handprint/attribution"
	"handprint/internal/canonical"
)

// dataset is data_stream.dataset and event.dataset behind `handprint.`.
func (e *Event) dataset() string {
	if e.Kind == Identity {
		return "identity"
	}
	return e.code()
}

// ecsAction is event.action: what happened, with hyphens.
func (e *Event) ecsAction() string {
	switch e.Kind {
	case Transition:
		return "state-changed"
	case Suspicion:
		return [...]string{Raised: "multi-actor-raised", Grown: "multi-actor-grown", Cleared: "multi-actor-cleared"}[e.Status]
	case Row:
		return "state"
	case Tombstone:
		return "state-deleted"
	}
	switch e.Change {
	case attribution.Formed:
		return "identity-formed"
	case attribution.Linked:
		return "identity-linked"
	case attribution.Merged:
		return "identity-merged"
	}
	return "identity-unmerged"
}

func (e *Event) ecsKind() string {
	switch {
	case e.Kind == Row:
		return "state"
	case e.Kind == Suspicion && e.Status != Cleared:
		return "alert"
	}
	return "event"
}

// ecs appends e as an ECS 9.4.0 document.
func (f *Formatter) ecs(dst []byte, e *Event) []byte {
	dst = appendTime(append(dst, `{"@timestamp":"`...), e.Time)
	dst = appendField(dst, `","ecs":{"version":"9.4.0"},"message":`, f.message)
	dst = append(append(dst, `,"tags":["handprint"],"data_stream":{"type":"logs","dataset":"handprint.`...), e.dataset()...)
	dst = append(append(dst, `","namespace":`...), f.namespace...)
	dst = appendField(dst, `},"event":{"id":`, e.ID)
	dst = append(append(dst, `,"kind":"`...), e.ecsKind()...)
	dst = append(append(dst, `","category":["intrusion_detection"],"type":["info"],"action":"`...), e.ecsAction()...)
	dst = append(append(dst, `","code":"`...), e.code()...)
	dst = append(append(dst, `","module":"handprint","dataset":"handprint.`...), e.dataset()...)
	dst = appendField(dst, `","provider":`, e.Topic)
	dst = append(append(dst, `,"severity":`...), severities[f.Severity(e)].ecs...)
	dst = append(appendField(dst, `,"reason":`, f.message), '}')
	if e.Kind != Identity {
		dst = append(append(dst, `,"rule":{"id":"handprint.`...), e.code()...)
		dst = append(append(dst, `","name":"handprint: `...), e.title()...)
		dst = append(dst, `","category":"behaviour coherence","version":"1"}`...)
	}
	dst = append(append(dst, `,"observer":{"vendor":"handprint","product":"handprint","type":"behavioural-attribution","version":`...), f.version...)
	dst = appendField(dst, `},"entity":{"id":`, e.subject())
	dst = append(dst, `,"sub_type":"handprint_identity","source":"handprint"}`...)
	dst = f.ecsRelated(dst, e)
	dst = appendECSThreat(dst, e.Techniques)
	return f.ecsOwn(dst, e)
}

// ecsRelated appends the addresses and digests that an event is about, in ECS's
// own fields.
func (f *Formatter) ecsRelated(dst []byte, e *Event) []byte {
	if len(e.Addresses) == 1 {
		dst = append(appendField(dst, `,"source":{"ip":`, e.Addresses[0].IP), '}')
	}
	h := e.hash()
	if h == nil && len(e.Addresses) == 0 {
		return dst
	}
	dst = append(dst, `,"related":{`...)
	if h != nil {
		dst = append(f.appendTextJSON(append(dst, `"hash":[`...), h), ']')
	}
	if len(e.Addresses) > 0 {
		if h != nil {
			dst = append(dst, ',')
		}
		dst = append(dst, `"ip":[`...)
		for i, a := range e.Addresses {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = canonical.AppendString(dst, a.IP)
		}
		dst = append(dst, ']')
	}
	dst = append(dst, '}')
	if h != nil && e.Primitive == "toolchain.tls.ja3_client" {
		dst = append(f.appendTextJSON(append(dst, `,"tls":{"client":{"ja3":`...), h), `}}`...)
	}
	return dst
}

// ecsOwn appends the fields under handprint, and ends the document.
func (f *Formatter) ecsOwn(dst []byte, e *Event) []byte {
	dst = appendField(dst, `,"handprint":{"identity_uuid":`, e.subject())
	if e.confident() {
		dst = canonical.AppendFloat(append(dst, `,"confidence":`...), e.Confidence)
	}
	switch e.Kind {
	case Suspicion:
		return f.ecsSuspicion(dst, e)
	case Identity:
		if _, winner := e.loserWinner(); e.pair() && winner != "" {
			dst = appendField(dst, `,"winner_uuid":`, winner)
		}
		if e.Moved > 0 || e.Rows > 0 {
			dst = strconv.AppendInt(append(dst, `,"attackers_moved":`...), e.Moved, 10)
			dst = strconv.AppendInt(append(dst, `,"rows_changed":`...), e.Rows, 10)
		}
		if len(e.Attackers) > 0 {
			dst = appendStrings(append(dst, `,"attackers":`...), e.Attackers)
		}
		return append(dst, `}}`...)
	}
	dst = appendField(dst, `,"primitive":`, e.Primitive)
	if e.Kind == Tombstone {
		return append(dst, `}}`...)
	}
	dst = append(append(dst, `,"kind":"`...), e.Trait.String()...)
	dst = append(append(append(dst, `","state":"`...), e.State.String()...), '"')
	dst = f.appendTextJSON(append(dst, `,"value":`...), e.Value)
	if n, ok := canonical.Number(e.Value); ok {
		dst = canonical.AppendFloat(append(dst, `,"value_number":`...), n)
	}
	dst = strconv.AppendInt(append(dst, `,"observation_count":`...), e.Observations, 10)
	switch {
	case e.Kind == Row:
		dst = appendTime(append(dst, `,"since":"`...), e.Since)
		dst = append(appendTime(append(dst, `","last_observation":"`...), e.LastSeen), '"')
		if e.Returns {
			dst = append(dst, `,"returns":true`...)
		}
	case !e.IsNew:
		dst = append(append(append(dst, `,"old_state":"`...), e.Old.String()...), '"')
		if len(e.Previous) > 0 {
			dst = f.appendTextJSON(append(dst, `,"previous_value":`...), e.Previous)
		}
	}
	return append(dst, `}}`...)
}

func (f *Formatter) ecsSuspicion(dst []byte, e *Event) []byte {
	dst = appendStrings(append(dst, `,"primitives":`...), e.Primitives)
	if e.SuspicionID != "" {
		dst = append(append(append(dst, `,"suspicion_status":"`...), e.Status.String()...), '"')
		dst = appendField(dst, `,"suspicion_id":`, e.SuspicionID)
	}
	if len(e.Groups) > 0 {
		dst = appendStrings(append(dst, `,"groups":`...), e.Groups)
	}
	if e.Summary != "" {
		dst = appendField(dst, `,"evidence_summary":`, e.Summary)
	}
	return append(dst, `}}`...)
}

// Dataset is the part of ECS's data_stream.dataset behind `handprint.`.
func Dataset(e *Event) string { return e.dataset() }
