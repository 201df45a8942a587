package processor

import "time"

// pace is how many records a worker polls at once. Records differ in what they
// cost by orders of magnitude, and nobody knows before. So a turn that has used
// its time ends early (batch.process), and the next one is as large as this one
// has managed; after a failure it is half as large, down to one record. It grows
// again as batches are committed in time.
type pace struct {
	max     int // Config.TurnRecords, or Config.MaxBatchRecords if that is less
	records int // of the next turn, at least 1
	careful int // batches to come that have one turn and do not grow, because one failed
}

const (
	// carefulBatches is how many batches have one turn after one that failed.
	carefulBatches = 32
	// maxProcessing is how long the handlers of one batch may work, beyond the
	// record at which the time is over: a stop and a rebalance wait for it. Nor may
	// they take more than 1/turnShare of the transaction timeout.
	maxProcessing = time.Second
	// slowShare is the part of the transaction timeout, one in slowShare, after which
	// a committed batch counts as slow: the next one is no larger. After twice that
	// time it is half as large.
	slowShare = 4
)

func newPace(cfg *Config) pace {
	n := min(cfg.TurnRecords, cfg.MaxBatchRecords)
	return pace{max: n, records: n}
}

// failed notes a batch of a number of records that could not be committed.
func (p *pace) failed(records int64) {
	p.records = max(1, int(min(int64(p.records), records))/2)
	p.careful = carefulBatches
}

// ended notes a turn that was ended after a number of records, as its time was over.
func (p *pace) ended(after int) { p.records = min(p.records, max(1, after)) }

// committed notes a batch that was committed; whole says that none of its turns was ended early.
func (p *pace) committed(took, transactionTimeout time.Duration, whole bool) {
	switch {
	case p.careful > 0:
		p.careful--
	case took >= 2*transactionTimeout/slowShare:
		p.records = max(1, p.records/2)
	case whole && took < transactionTimeout/slowShare:
		p.records = min(2*p.records, p.max)
	}
}
