package components

import (
	"testing"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/stretchr/testify/assert"
)

func TestVLLMRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*VLLMArgs)
		want   string
	}{
		"no namespace":              {func(a *VLLMArgs) { a.Namespace = "" }, `Namespace ""`},
		"no scraper":                {func(a *VLLMArgs) { a.Scraper = nil }, "Scraper is missing"},
		"no monitoring namespace":   {func(a *VLLMArgs) { a.MonitoringNamespace = "" }, `MonitoringNamespace ""`},
		"a client namespace":        {func(a *VLLMArgs) { a.ClientNamespaces = []string{"We b"} }, `ClientNamespaces "We b"`},
		"a namespace to reach":      {func(a *VLLMArgs) { a.EgressNamespaces = []string{"*"} }, `EgressNamespaces "*"`},
		"a client network":          {func(a *VLLMArgs) { a.ClientCIDRs = []string{"10.0.0.1/16"} }, `ClientCIDRs "10.0.0.1/16"`},
		"a network to reach":        {func(a *VLLMArgs) { a.EgressCIDRs = []string{"proxy"} }, `EgressCIDRs "proxy"`},
		"a host of media":           {func(a *VLLMArgs) { a.MediaDomains = []string{"https://a.example"} }, `MediaDomains "https://a.example"`},
		"an engine":                 {func(a *VLLMArgs) { a.Engine = "tgi" }, `engine "tgi" not supported (one of: vllm, simulator)`},
		"no image":                  {func(a *VLLMArgs) { a.Image = "" }, `image "" has no version`},
		"an open version":           {func(a *VLLMArgs) { a.Image = "vllm/vllm-openai:latest" }, "has no version"},
		"no version":                {func(a *VLLMArgs) { a.Image = "registry:5000/vllm-openai" }, "has no version"},
		"a privileged port":         {func(a *VLLMArgs) { a.Port = 80 }, "port 80 not possible"},
		"no model":                  {func(a *VLLMArgs) { a.Model.ID = "" }, "model has no ID"},
		"no context":                {func(a *VLLMArgs) { a.Model.MaxModelLen = 0 }, "maxModelLen 0"},
		"no sequences":              {func(a *VLLMArgs) { a.Model.MaxNumSeqs = 0 }, "maxNumSeqs 0"},
		"more memory than there is": {func(a *VLLMArgs) { a.Model.GPUMemoryUtilization = 1.1 }, "gpuMemoryUtilization 1.1"},
		"no dtype":                  {func(a *VLLMArgs) { a.Model.DType = "" }, "dtype is empty"},
		"an owned flag": {func(a *VLLMArgs) { a.Model.ExtraArgs = []string{"--port=9"} },
			"extra argument --port is a flag that the program sets: set vllm.port instead"},
		"its other spelling":         {func(a *VLLMArgs) { a.Model.ExtraArgs = []string{"--max_model_len", "9"} }, "extra argument --max-model-len is"},
		"the key in plain sight":     {func(a *VLLMArgs) { a.Model.ExtraArgs = []string{"--api-key=x"} }, "extra argument --api-key is"},
		"a flag of the simulator":    {func(a *VLLMArgs) { a.Model.ExtraArgs = []string{"--force-dummy-tokenizer"} }, "remove it"},
		"no CPU":                     {func(a *VLLMArgs) { a.CPU = "0" }, `CPU "0"`},
		"memory that is no quantity": {func(a *VLLMArgs) { a.Memory = "10 GB" }, `Memory "10 GB"`},
		"no shared memory":           {func(a *VLLMArgs) { a.SharedMemory = "" }, `SharedMemory ""`},
		"more shared than memory":    {func(a *VLLMArgs) { a.SharedMemory = "10Gi" }, "shared memory 10Gi counts towards memory 10Gi"},
		"no model cache":             {func(a *VLLMArgs) { a.ModelCache = "" }, `ModelCache ""`},
		"no start-up budget":         {func(a *VLLMArgs) { a.StartupBudget = 0 }, "startup budget 0s"},
		"no preStop":                 {func(a *VLLMArgs) { a.PreStop = 0 }, "preStop 0s"},
		"a negative drain":           {func(a *VLLMArgs) { a.ShutdownTimeout = -time.Second }, "shutdown timeout -1s"},
		"no scrape interval":         {func(a *VLLMArgs) { a.ScrapeInterval = 0 }, "ScrapeInterval 0s"},
		"a variable of ours":         {func(a *VLLMArgs) { a.Env = map[string]string{"HOME": "/"} }, "environment variable HOME"},
		"no GPU in a GPU":            {func(a *VLLMArgs) { a.GPU.PerReplica = 0 }, "GPU.PerReplica 0"},
		"a toleration":               {func(a *VLLMArgs) { a.GPU.Tolerations[0].Effect = "Never" }, `effect "Never"`},
		"a simulation without speed": {func(a *VLLMArgs) { a.Engine = EngineSimulator; a.Simulation = Simulation{} }, "not possible (latencies above 0"},
	} {
		t.Run(name, func(t *testing.T) {
			assertRefused(t, test.want, func(ctx *pulumi.Context, provider pulumi.ResourceOption) error {
				args := vllmArgs()
				test.change(args)
				_, err := NewVLLM(ctx, "vllm", args, provider)
				return err
			})
		})
	}
	t.Run("nothing", func(t *testing.T) {
		assertRefused(t, "arguments are missing", func(ctx *pulumi.Context, provider pulumi.ResourceOption) error {
			_, err := NewVLLM(ctx, "vllm", nil, provider)
			return err
		})
	})
	t.Run("everything wrong is reported at once", func(t *testing.T) {
		args := vllmArgs()
		args.Port, args.Model.ID, args.CPU = 1, "", "x"
		err := args.validate()
		for _, want := range []string{"port 1", "model has no ID", `CPU "x"`} {
			assert.ErrorContains(t, err, want)
		}
	})
}
