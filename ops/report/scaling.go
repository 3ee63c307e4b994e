package report

// Scaling is the HPA's reaction to the load.
type Scaling struct {
	// LoadFrom is when the load began, in seconds since Report.Started.
	LoadFrom float64 `json:"loadFrom"`
	// FirstScaleUp is how long after that the HPA first raised the desired replicas, FirstNewReady how long until more
	// pods were ready, in seconds; nil if it did not happen.
	FirstScaleUp  *float64 `json:"firstScaleUpSeconds"`
	FirstNewReady *float64 `json:"firstNewReadySeconds"`
	PeakDesired   int      `json:"peakDesired"`
	PeakReady     int      `json:"peakReady"`
	// ReplicaSeconds is the integral of the Deployment's replicas over all samples: what is paid for.
	ReplicaSeconds float64 `json:"replicaSeconds"`
	// GPUHours is that in GPU hours; 0 if a replica has no GPU.
	GPUHours float64 `json:"gpuHours"`
	// Reversals counts how often the HPA changed from scaling up to scaling down or back.
	Reversals int `json:"reversals"`
}

// Judge evaluates the samples after the begin of a load at loadFrom. It returns nil without samples.
func Judge(samples []Sample, loadFrom float64, gpusPerReplica int) *Scaling {
	if len(samples) == 0 {
		return nil
	}
	s := &Scaling{LoadFrom: loadFrom}
	// The last sample before the load, or the first one if the load began earlier.
	desired, ready := samples[0].Desired, samples[0].Ready
	direction := 0
	for i, now := range samples {
		if i > 0 {
			before := samples[i-1]
			s.ReplicaSeconds += float64(before.Current) * (now.Seconds - before.Seconds)
			// An HPA that has not computed a number yet reports 0.
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
