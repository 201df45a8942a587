package audit_test

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/internal/audit"
)

// BenchmarkAudit audits an application that took b.N sessions of 8
// observations each, of as many attackers as a quarter of that.
func BenchmarkAudit(b *testing.B) {
	const perSession = 8
	a := startApp(b, startBroker(b), "bench.", 4, nil)
	var records []*kgo.Record
	flush := func() {
		a.put(records...)
		records = records[:0]
	}
	for session := range b.N {
		attacker := fmt.Sprintf("attacker-%d", session%max(1, b.N/4))
		for n := range perSession {
			records = append(records, &kgo.Record{Topic: a.names.Observations, Key: []byte(attacker), Value: fmt.Appendf(nil,
				`{"attacker_uuid":%q,"primitive":"t.primitive_%d","value":"value %d","ts":%d,"evidence_ref":"session %d","confidence":0.8}`,
				attacker, n, session/(b.N/2+1), 1000+session, session)})
		}
		if len(records) >= 8000 {
			flush()
		}
	}
	flush()
	auditor := a.auditor(a.options())
	o := a.options()
	o.Timeout = 1 << 40
	first, err := audit.Run(b.Context(), o) // waits for rest
	clean(b, first, err)
	a.stop()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	b.ResetTimer()
	report, err := auditor.Advance(b.Context())
	b.StopTimer()
	clean(b, report, err)
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(report.Observations)/report.Took, "observations/s")
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(report.Rows), "B/row")
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(report.Observations), "B/observation")
	runtime.KeepAlive(auditor)
}
