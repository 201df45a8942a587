// Package operations is what an operator does to an application from outside:
// look whether everything is as it should be ([Diagnose]), how far the tasks
// are behind ([MeasureLag]), and begin again from nothing ([PlanReset]).
//
// It asks the cluster and the local disk, never a running process; what a
// process tells of itself is package admin. Printing is the command line's.
package operations
