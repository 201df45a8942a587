package cowrie

import "handprint/ingest/internal/param"

// Param is one number of the settings: its declaration, and the way to it.
type Param = param.Param

func ratios(name string, value *Ratio, def Ratio, usage string) Param {
	return param.New(name, value, def, 0, 1000*One, usage, ParseRatio, Ratio.String)
}
