package gke

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/pulumi/pulumi-gcp/sdk/v7/go/gcp/container"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"vllm-autoscaling/providers"
)

// noUpgrades is the scope of an exclusion where none is given, as in GKE.
const noUpgrades = "NO_UPGRADES"

const (
	keyMaintenanceWindow     = "gke.maintenanceWindow"
	keyMaintenanceExclusions = "gke.maintenanceExclusions"
)

// What GKE requires of a maintenance window: windows of at least minWindow that add up to minMaintenance in any 32 days
// (https://cloud.google.com/kubernetes-engine/docs/concepts/maintenance-windows-and-exclusions).
const (
	minWindow      = 4 * time.Hour
	minMaintenance = 48 * time.Hour
)

// maintenancePolicy returns when GKE may upgrade the cluster by itself; nil for any time.
func (a *Args) maintenancePolicy() container.ClusterMaintenancePolicyPtrInput {
	if a.MaintenanceWindow == (MaintenanceWindow{}) {
		return nil
	}
	exclusions := container.ClusterMaintenancePolicyMaintenanceExclusionArray{}
	for _, e := range a.MaintenanceExclusions {
		// Stated also where it is GKE's default, which it returns only then.
		providers.Fill(&e.Scope, noUpgrades)
		exclusions = append(exclusions, container.ClusterMaintenancePolicyMaintenanceExclusionArgs{
			ExclusionName: pulumi.String(e.Name), StartTime: pulumi.String(e.Start), EndTime: pulumi.String(e.End),
			ExclusionOptions: container.ClusterMaintenancePolicyMaintenanceExclusionExclusionOptionsArgs{Scope: pulumi.String(e.Scope)},
		})
	}
	return container.ClusterMaintenancePolicyArgs{
		RecurringWindow: container.ClusterMaintenancePolicyRecurringWindowArgs{
			StartTime: pulumi.String(a.MaintenanceWindow.Start), EndTime: pulumi.String(a.MaintenanceWindow.End),
			Recurrence: pulumi.String(a.MaintenanceWindow.Recurrence),
		},
		MaintenanceExclusions: exclusions,
	}
}

// validateMaintenance adds the problems of the maintenance window and its exclusions.
func (a *Args) validateMaintenance(p *providers.Problems) {
	window := a.MaintenanceWindow
	if window != (MaintenanceWindow{}) {
		fix := "set it, or remove " + keyMaintenanceWindow
		p.Missing(keyMaintenanceWindow+".start", window.Start, "a time in UTC such as 2026-01-03T02:00:00Z", fix)
		p.Missing(keyMaintenanceWindow+".end", window.End, "a time in UTC such as 2026-01-03T10:00:00Z", fix)
		p.Missing(keyMaintenanceWindow+".recurrence", window.Recurrence, "an RRULE of RFC 5545 such as FREQ=WEEKLY;BYDAY=SA,SU", fix)
		if length, ok := span(p, keyMaintenanceWindow, window.Start, window.End); ok {
			window.checkLength(p, length)
		}
	} else if len(a.MaintenanceExclusions) > 0 {
		p.Add(keyMaintenanceExclusions, nil, "only with "+keyMaintenanceWindow+": the provider sets exclusions only beside a window",
			"set "+keyMaintenanceWindow+"; FREQ=DAILY from 00:00 to 00:00 of the next day is any time")
	}
	names := map[string]bool{}
	for i, e := range a.MaintenanceExclusions {
		key := providers.Item(keyMaintenanceExclusions, i)
		p.Missing(key+".name", e.Name, "a name", "set it")
		p.Missing(key+".start", e.Start, "a time in UTC such as 2026-12-18T00:00:00Z", "set it")
		p.Missing(key+".end", e.End, "a time in UTC such as 2027-01-04T00:00:00Z", "set it")
		if e.Name != "" && names[e.Name] {
			p.Add(key+".name", e.Name, "each name once; this one is listed twice", "choose another one")
		}
		names[e.Name] = true
		span(p, key, e.Start, e.End)
	}
}

// span returns the time between two times below a key, and adds a problem where one is none or the end is not the later one.
// A missing one is a problem already.
func span(p *providers.Problems, key, start, end string) (time.Duration, bool) {
	if start == "" || end == "" {
		return 0, false
	}
	from, err := time.Parse(time.RFC3339, start)
	if err != nil {
		p.Add(key+".start", start, "a time in UTC of the form 2026-01-03T02:00:00Z", "write a day and a time that exist")
		return 0, false
	}
	to, err := time.Parse(time.RFC3339, end)
	if err != nil {
		p.Add(key+".end", end, "a time in UTC of the form 2026-01-03T10:00:00Z", "write a day and a time that exist")
		return 0, false
	}
	if !to.After(from) {
		p.Add(key+".end", end, fmt.Sprintf("a time after %s (%s)", key+".start", start), "")
		return 0, false
	}
	return to.Sub(from), true
}

// weekly matches the recurrences on days of the week whose hours can be added up here. GKE judges the others.
var weekly = regexp.MustCompile(`^FREQ=WEEKLY(?:;BYDAY=([A-Z,]+))?$`)

// checkLength adds the problems of a window that leaves GKE too little time.
func (w MaintenanceWindow) checkLength(p *providers.Problems, length time.Duration) {
	if length < minWindow {
		p.Add(keyMaintenanceWindow+".end", w.End, fmt.Sprintf("at least %.0f hours after %s.start (%s)", minWindow.Hours(), keyMaintenanceWindow, w.Start), "")
		return
	}
	found := weekly.FindStringSubmatch(w.Recurrence)
	if found == nil {
		return
	}
	// 32 days have each day of the week at least four times.
	days := 1 + strings.Count(found[1], ",")
	if least := minMaintenance / time.Duration(4*days); length < least {
		p.Add(keyMaintenanceWindow+".end", w.End, fmt.Sprintf("at least %.0f hours after %s.start (%s) with %d days a week: GKE requires %.0f hours in any 32 days",
			least.Hours(), keyMaintenanceWindow, w.Start, days, minMaintenance.Hours()), "make the window longer, or add days to its recurrence")
	}
}
