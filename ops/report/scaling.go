package report

// Scaling is what the HPA made of the load.
type Scaling struct {
	// LoadFrom is when the load began, in seconds since Report.Started.
	LoadFrom float64 `json:"loadFrom"`
	// FirstScaleUp is how long after that the HPA first wanted more replicas, FirstNewReady how long
	// until more pods were ready, in seconds; nil when it did not happen.
	FirstScaleUp  *float64 `json:"firstScaleUpSeconds"`
	FirstNewReady *float64 `json:"firstNewReadySeconds"`
	PeakDesired   int      `json:"peakDesired"`
	PeakReady     int      `json:"peakReady"`
	// ReplicaSeconds is the integral of the Deployment's replicas over all samples: what is paid for.
	ReplicaSeconds float64 `json:"replicaSeconds"`
	// GPUHours is that in hours of GPUs; 0 when a replica has none.
	GPUHours float64 `json:"gpuHours"`
	// Reversals counts how often the HPA turned from growing to shrinking or back.
	Reversals int `json:"reversals"`
}

// Judge reads from samples what followed on a load that began at loadFrom. It is nil without samples.
func Judge(samples []Sample, loadFrom float64, gpusPerReplica int) *Scaling {
	if len(samples) == 0 {
		return nil
	}
	s := &Scaling{LoadFrom: loadFrom}
	// Before the load, or at the first sample when the load was there before.
	desired, ready := samples[0].Desired, samples[0].Ready
	direction := 0
	for i, now := range samples {
		if i > 0 {
			before := samples[i-1]
			s.ReplicaSeconds += float64(before.Current) * (now.Seconds - before.Seconds)
			// An HPA that has not computed anything yet says 0.
			if before.Desired > 0 && now.Desired > 0 && now.Desired != before.Desired {
				turned := 1
				if now.Desired < before.Desired {
					turned = -1
				}
				if direction != 0 && turned != direction {
					s.Reversals++
				}
				direction = turned
			}
		}
		s.PeakDesired, s.PeakReady = max(s.PeakDesired, now.Desired), max(s.PeakReady, now.Ready)
		after := now.Seconds - loadFrom
		if after < 0 {
			desired, ready = now.Desired, now.Ready
			continue
		}
		if s.FirstScaleUp == nil && desired > 0 && now.Desired > desired {
			s.FirstScaleUp = &after
		}
		if s.FirstNewReady == nil && now.Ready > ready {
			s.FirstNewReady = &after
		}
		if desired == 0 {
			desired = now.Desired
		}
	}
	s.GPUHours = s.ReplicaSeconds / 3600 * float64(gpusPerReplica)
	return s
}
