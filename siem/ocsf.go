package siem

import (
	"math"
	"strconv"

	"handprint/attribution"
	"handprint/internal/canonical"
)

// The classes and activities of OCSF 1.8.0 that events belong to.
const (
	ocsfFinding = `"category_uid":2,"category_name":"Findings","class_uid":2004,"class_name":"Detection Finding"`
	ocsfEntity  = `"category_uid":3,"category_name":"Identity & Access Management","class_uid":3004,"class_name":"Entity Management"`
)

type ocsfActivity struct{ id, name string }

var (
	ocsfCreate   = ocsfActivity{"1", "Create"}
	ocsfUpdate   = ocsfActivity{"2", "Update"}
	ocsfClose    = ocsfActivity{"3", "Close"}
	ocsfSnapshot = ocsfActivity{"99", "Snapshot"}
	ocsfChanged  = ocsfActivity{"3", "Update"} // of an entity
)

func (e *Event) ocsfActivity() ocsfActivity {
	switch e.Kind {
	case Transition:
		if e.IsNew {
			return ocsfCreate
		}
		return ocsfUpdate
	case Suspicion:
		return [...]ocsfActivity{Raised: ocsfCreate, Grown: ocsfUpdate, Cleared: ocsfClose}[e.Status]
	case Row:
		return ocsfSnapshot
	case Tombstone:
		return ocsfClose
	}
	if e.Change == attribution.Formed {
		return ocsfCreate
	}
	return ocsfChanged
}

// ocsf appends e as an OCSF 1.8.0 event: Detection Finding, or Entity
// Management for what happens to identities.
func (f *Formatter) ocsf(dst []byte, e *Event) []byte {
	activity, class, number, name := e.ocsfActivity(), ocsfFinding, "2004", "Detection Finding: "
	if e.Kind == Identity {
		class, number, name = ocsfEntity, "3004", "Entity Management: "
	}
	dst = append(append(dst, `{"activity_id":`...), activity.id...)
	dst = append(append(append(dst, `,"activity_name":"`...), activity.name...), `",`...)
	dst = append(dst, class...)
	dst = append(append(dst, `,"type_uid":`...), number...)
	if len(activity.id) == 1 {
		dst = append(dst, '0')
	}
	dst = append(append(append(dst, activity.id...), `,"type_name":"`...), name...)
	dst = append(append(dst, activity.name...), `","time":`...)
	dst = strconv.AppendInt(dst, e.Time, 10)
	severity := &severities[f.Severity(e)]
	dst = append(append(dst, `,"timezone_offset":0,"severity_id":`...), severity.ocsf...)
	dst = append(append(append(dst, `,"severity":"`...), severity.ocsfTitle...), '"')
	if e.confident() {
		dst = appendOCSFConfidence(dst, e)
	}
	if e.Kind != Identity {
		dst = append(dst, `,"is_alert":`...)
		dst = strconv.AppendBool(dst, e.Kind == Suspicion && e.Status != Cleared)
	}
	dst = appendField(dst, `,"message":`, f.message)
	// An update has no status: that is the analyst's, and sending New again
	// would reopen what somebody has closed.
	switch {
	case e.Kind == Tombstone:
		dst = append(dst, `,"status_id":5,"status":"Archived"`...)
	case e.Kind == Suspicion && e.Status == Cleared:
		dst = append(dst, `,"status_id":4,"status":"Resolved"`...)
	case e.Kind != Identity && activity == ocsfCreate:
		dst = append(dst, `,"status_id":1,"status":"New"`...)
	}
	dst = appendField(dst, `,"metadata":{"version":"1.8.0","uid":`, e.ID)
	dst = append(append(append(dst, `,"event_code":"`...), e.code()...), '"')
	dst = appendField(dst, `,"log_name":`, e.Topic)
	dst = append(append(append(dst, `,"product":{"name":"handprint","vendor_name":"handprint","version":`...), f.version...), `}}`...)
	if e.Kind == Identity {
		return f.ocsfEntity(dst, e)
	}
	return f.ocsfFinding(dst, e)
}

func appendOCSFConfidence(dst []byte, e *Event) []byte {
	id, word := "3", "High"
	switch {
	case e.Kind != Suspicion && e.State == attribution.Unknown:
		id, word = "0", "Unknown"
	case e.Confidence < 0.4:
		id, word = "1", "Low"
	case e.Confidence < 0.75:
		id, word = "2", "Medium"
	}
	dst = append(append(dst, `,"confidence_id":`...), id...)
	dst = append(append(append(dst, `,"confidence":"`...), word...), `","confidence_score":`...)
	return strconv.AppendInt(dst, percent(e.Confidence), 10)
}

// percent is a confidence times 100, rounded half to even, from 0 to 100.
func percent(c float64) int64 { return int64(min(max(math.RoundToEven(c*100), 0), 100)) }

// ocsfFinding appends what a Detection Finding has behind its metadata.
func (f *Formatter) ocsfFinding(dst []byte, e *Event) []byte {
	f.scratch = e.finding(f.scratch[:0])
	dst = appendField(dst, `,"finding_info":{"uid":`, f.scratch)
	dst = append(append(append(dst, `,"title":"`...), e.title()...), '"')
	dst = appendField(dst, `,"desc":`, f.message)
	dst = append(dst, `,"types":["Behaviour coherence"],"analytic":{"type_id":2,"type":"Behavioral","name":"handprint attribution","uid":"`...)
	dst = append(append(dst, e.code()...), `","version":"1"}`...)
	switch e.Kind {
	case Transition, Row:
		dst = appendField(dst, `,"traits":[{"name":`, e.Primitive)
		dst = appendField(dst, `,"category":`, category(e.Primitive))
		dst = append(append(dst, `,"type":"`...), e.Trait.String()...)
		dst = f.appendTextJSON(append(dst, `","values":[`...), e.Value)
		dst = append(dst, `]}]`...)
	case Suspicion:
		dst = f.ocsfReasons(dst, e)
	}
	switch e.Kind {
	case Transition:
		dst = strconv.AppendInt(append(dst, `,"last_seen_time":`...), e.Time, 10)
	case Row:
		dst = strconv.AppendInt(append(dst, `,"modified_time":`...), e.Since, 10)
		dst = strconv.AppendInt(append(dst, `,"last_seen_time":`...), e.LastSeen, 10)
	}
	// Of the finding: the event's own `attacks` belongs to the profile
	// security_control, which is of products that block.
	dst = append(appendOCSFAttacks(dst, e.Techniques), '}')
	dst = appendField(dst, `,"observables":[{"name":"finding_info.uid","type_id":10,"type":"Resource UID","value":`, e.Identity)
	dst = append(dst, '}')
	if h := e.hash(); h != nil {
		dst = f.appendTextJSON(append(dst, `,{"name":"finding_info.traits.values","type_id":8,"type":"Hash","value":`...), h)
		dst = append(dst, '}')
	}
	dst = appendOCSFAddresses(dst, "evidences.src_endpoint.ip", e.Addresses)
	dst = append(dst, ']')
	dst = appendOCSFEvidences(dst, e.Addresses)
	if e.Kind == Transition && e.State == attribution.Drifting && len(e.Previous) > 0 {
		dst = f.ocsfAnomaly(dst, e)
	}
	if e.Kind == Tombstone {
		return append(dst, '}')
	}
	return f.ocsfUnmapped(dst, e)
}

// ocsfReasons appends the traits that a suspicion names.
func (f *Formatter) ocsfReasons(dst []byte, e *Event) []byte {
	for i, p := range e.Primitives {
		if i == 0 {
			dst = append(dst, `,"traits":[`...)
		} else {
			dst = append(dst, ',')
		}
		dst = appendField(dst, `{"name":`, p)
		dst = appendField(dst, `,"category":`, category(p))
		values := 0
		for j := range e.Reasons {
			if e.Reasons[j].Primitive != p {
				continue
			}
			for _, v := range e.Reasons[j].Values {
				if values == 0 {
					dst = append(dst, `,"values":[`...)
				} else {
					dst = append(dst, ',')
				}
				dst = f.appendTextJSON(dst, v)
				values++
			}
		}
		if values > 0 {
			dst = append(dst, ']')
		}
		dst = append(dst, '}')
	}
	if len(e.Primitives) > 0 {
		dst = append(dst, ']')
	}
	return dst
}

// ocsfAnomaly appends what a trait drifted from and to.
func (f *Formatter) ocsfAnomaly(dst []byte, e *Event) []byte {
	dst = appendField(dst, `,"anomaly_analyses":[{"analysis_targets":[{"name":`, e.Primitive)
	dst = append(append(append(dst, `,"type":"`...), e.Trait.String()...), `"}]`...)
	dst = appendField(dst, `,"baselines":[{"observation_parameter":`, e.Primitive)
	dst = f.appendTextJSON(append(dst, `,"observations":[{"value":`...), e.Previous)
	dst = appendField(dst, `}]}],"anomalies":[{"observation_parameter":`, e.Primitive)
	dst = f.appendTextJSON(append(dst, `,"observations":[{"value":`...), e.Value)
	return append(dst, `}]}]}]`...)
}

func appendOCSFAddresses(dst []byte, name string, addresses []Address) []byte {
	for _, a := range addresses {
		dst = append(append(append(dst, `,{"name":"`...), name...), `","type_id":2,"type":"IP Address","value":`...)
		dst = append(canonical.AppendString(dst, a.IP), '}')
	}
	return dst
}

func appendOCSFEvidences(dst []byte, addresses []Address) []byte {
	for i, a := range addresses {
		if i == 0 {
			dst = append(dst, `,"evidences":[`...)
		} else {
			dst = append(dst, ',')
		}
		dst = append(appendField(dst, `{"src_endpoint":{"ip":`, a.IP), `}}`...)
	}
	if len(addresses) > 0 {
		dst = append(dst, ']')
	}
	return dst
}

// ocsfUnmapped appends what OCSF has no field for, and ends the event.
func (f *Formatter) ocsfUnmapped(dst []byte, e *Event) []byte {
	dst = appendField(dst, `,"unmapped":{"handprint":{"identity_uuid":`, e.Identity)
	if e.Kind == Suspicion {
		dst = appendStrings(append(dst, `,"primitives":`...), e.Primitives)
		if e.SuspicionID != "" {
			dst = appendField(dst, `,"suspicion_id":`, e.SuspicionID)
			dst = append(append(append(dst, `,"suspicion_status":"`...), e.Status.String()...), '"')
		}
		if e.Summary != "" {
			dst = appendField(dst, `,"evidence_summary":`, e.Summary)
		}
		if len(e.Groups) > 0 {
			dst = appendStrings(append(dst, `,"groups":`...), e.Groups)
		}
		for i := range e.Reasons {
			dst = appendReason(dst, &e.Reasons[i], i == 0)
		}
		if len(e.Reasons) > 0 {
			dst = append(dst, ']')
		}
		return append(dst, `}}}`...)
	}
	dst = appendField(dst, `,"primitive":`, e.Primitive)
	dst = append(append(append(dst, `,"state":"`...), e.State.String()...), '"')
	dst = appendCanonJSON(append(dst, `,"current_value":`...), e.Value)
	dst = strconv.AppendInt(append(dst, `,"observation_count":`...), e.Observations, 10)
	switch {
	case e.Kind == Row:
		dst = strconv.AppendInt(append(dst, `,"last_change_time":`...), e.Since, 10)
		dst = strconv.AppendInt(append(dst, `,"last_observation_time":`...), e.LastSeen, 10)
		if e.Returns {
			dst = append(dst, `,"returns":true`...)
		}
	case e.IsNew:
		dst = append(dst, `,"old_state":null`...)
	default:
		dst = append(append(append(dst, `,"old_state":"`...), e.Old.String()...), '"')
		if len(e.Previous) > 0 {
			dst = appendCanonJSON(append(dst, `,"previous_value":`...), e.Previous)
		}
	}
	return append(dst, `}}}`...)
}

// appendReason appends one reason of a suspicion.
func appendReason(dst []byte, r *Reason, first bool) []byte {
	if first {
		dst = append(dst, `,"reasons":[`...)
	} else {
		dst = append(dst, ',')
	}
	dst = appendField(dst, `{"primitive":`, r.Primitive)
	dst = appendField(dst, `,"kind":`, r.Kind)
	dst = appendField(dst, `,"group":`, r.Group)
	dst = append(dst, `,"values":[`...)
	for i, v := range r.Values {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendCanonJSON(dst, v)
	}
	dst = append(dst, `],"new":`...)
	return append(strconv.AppendBool(dst, r.New), '}')
}

// ocsfEntity appends what Entity Management has behind its metadata: of a merge
// the loser and what it is now, of an unmerge the other way round.
func (f *Formatter) ocsfEntity(dst []byte, e *Event) []byte {
	entity, result := e.Identity, ""
	if e.pair() {
		entity, result = e.loserWinner()
		if e.Change == attribution.Unmerged && result != "" {
			entity, result = result, entity
		}
	}
	dst = appendOCSFEntity(append(dst, `,"entity":`...), entity)
	if result != "" {
		dst = appendOCSFEntity(append(dst, `,"entity_result":`...), result)
	}
	dst = appendField(dst, `,"observables":[{"name":"entity.uid","type_id":10,"type":"Resource UID","value":`, entity)
	dst = append(dst, '}')
	if result != "" {
		dst = append(appendField(dst, `,{"name":"entity_result.uid","type_id":10,"type":"Resource UID","value":`, result), '}')
	}
	dst = append(dst, ']')
	if e.Moved == 0 && e.Rows == 0 {
		return append(dst, '}')
	}
	dst = strconv.AppendInt(append(dst, `,"unmapped":{"handprint":{"attackers_moved":`...), e.Moved, 10)
	if len(e.Attackers) > 0 {
		dst = appendStrings(append(dst, `,"attackers":`...), e.Attackers)
	}
	dst = strconv.AppendInt(append(dst, `,"rows_changed":`...), e.Rows, 10)
	return append(dst, `}}}`...)
}

func appendOCSFEntity(dst []byte, id string) []byte {
	dst = appendField(dst, `{"uid":`, id)
	dst = appendField(dst, `,"name":`, id)
	return append(dst, `,"type_id":99,"type":"handprint identity"}`...)
}
