package dashboards

import (
	"vllm-autoscaling/components/signals"
	"vllm-autoscaling/components/telemetry"
)

func gpus(s telemetry.Settings) page {
	perNode := func(series string) []query { return []query{{telemetry.OnEveryGPU(series), "{{node}} GPU {{gpu}}"}} }
	utilization := []panel{
		{title: "Utilisation per pod", unit: unitPercent, width: half, high: 100,
			description: "Time with any kernel running, of the busiest GPU of each ready pod. Near 100 % as soon as one request is decoded: it does not say " +
				"how much room is left.",
			queries: []query{{s.Server(signals.RecordGPUUtilization), "{{pod}}"}}},
		{title: "Utilisation that the autoscaler sees", unit: unitPercent, width: half, high: 100,
			description: "The same while requests wait in the pod: in full from autoscaling.signals.gpuUtilization.waitingRequests of them on, " +
				"in proportion below, 0 while none waits. No data: the GPU signal is off.",
			queries: []query{{s.Server(signals.RecordGPUUtilizationGuarded), "{{pod}}"}}},
	}
	p := page{
		name: "gpus", title: "vLLM: GPUs",
		description: "How busy, full, warm and healthy the GPUs are.",
		rows:        []row{{"Utilisation", utilization}},
	}
	if s.SimulatedGPU {
		p.description += " The GPUs of this stack are simulated: there is nothing but their utilisation."
		return p
	}
	p.rows = append(p.rows,
		row{"Work", []panel{
			{title: "Utilisation per GPU", unit: unitPercent, width: half, high: 100,
				description: "Time with any kernel running, of every GPU, in use or not.",
				queries:     []query{{telemetry.UtilizationOfEveryGPU(), "{{node}} GPU {{gpu}}"}}},
			{title: "Tensor cores active per pod", unit: unitRatio, width: half, high: 1,
				description: "Share of cycles in which the tensor cores work: how much of the GPU's arithmetic is used. Not exported where the profiling fields are off.",
				queries:     []query{{s.OnServingGPUs(telemetry.SeriesTensorActive), "{{pod}} GPU {{gpu}}"}}},
		}},
		row{"Memory", []panel{
			{title: "Memory in use", unit: unitMebibytes, width: half,
				description: "vLLM takes its share (model.gpuMemoryUtilization) at its start and keeps it: see the KV cache for how much of that is used.",
				queries:     perNode(telemetry.SeriesFramebufferUsed)},
			{title: "Memory free", unit: unitMebibytes, width: half,
				description: "Memory that nobody holds.",
				queries:     perNode(telemetry.SeriesFramebufferFree)},
		}},
		row{"Health", []panel{
			{title: "Power", unit: unitWatts, width: third, description: "Power draw of every GPU.",
				queries: perNode(telemetry.SeriesPower)},
			{title: "Temperature", unit: unitDegrees, width: third, description: "A GPU that gets too hot lowers its clock.",
				queries: perNode(telemetry.SeriesTemperature)},
			{title: "Last XID error", unit: unitChangesRange, width: third,
				description: "Number of the last error that the driver reported since the exporter started; 0 is none. NVIDIA lists them in its XID " +
					"documentation. Not exported everywhere.",
				queries: perNode(telemetry.SeriesXID)},
		}},
	)
	return p
}
