package components

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation"
)

// CompileCache is where what a server has compiled survives its pod. Without one of the first three fields that is nowhere.
type CompileCache struct {
	// Claim is an existing PersistentVolumeClaim in the namespace of the server.
	Claim string
	// StorageClass is the class of a claim to create.
	StorageClass string
	// OnNodes keeps the cache in a folder of each node, which NodeAgent makes writable.
	OnNodes bool
	// Size is the most that the cache may hold, with the entries of other servers and earlier versions.
	Size string
	// Hardware names the kind of GPU; "" where only the node selector of the server tells it. What is compiled for one kind is not
	// read by another.
	Hardware string
}

// The requests of the container that fills the cache. It copies files once, and then sleeps.
const (
	CompileCacheCPU    = "10m"
	CompileCacheMemory = "64Mi"
)

const (
	compileCacheFile = "compile_cache.py"
	// compileCacheMemoryLimit has room for more than the 26 MiB that were measured with 20,000 files.
	compileCacheMemoryLimit = "256Mi"

	compileCacheVolume       = "compile-cache"
	compileCacheScriptVolume = "compile-cache-script"
	compileCacheDir          = "/var/cache/compile-cache"
	compileCacheScriptDir    = "/etc/compile-cache"

	// restoreCacheContainer and saveCacheContainer read an entry of the cache before the server starts, and write one when it serves.
	restoreCacheContainer = "restore-cache"
	saveCacheContainer    = "save-cache"
)

// compileCache is the source of the program that reads and writes the cache.
//
//go:embed compile_cache.py
var compileCache string

// compileCacheConfigMap returns the name of the ConfigMap with this program.
func compileCacheConfigMap(server string) string { return server + "-compile-cache" }

// keepsCompiled reports whether what the server compiles survives its pod.
func (a *VLLMArgs) keepsCompiled() bool {
	cache := a.CompileCache
	return a.Engine == EngineVLLM && (cache.Claim != "" || cache.StorageClass != "" || cache.OnNodes)
}

// newCompileCache registers the program that reads and writes the cache, and the volume of the cache. It returns what a pod needs.
func (a *VLLMArgs) newCompileCache(ctx *pulumi.Context, c *VLLM) ([]pulumi.Resource, error) {
	if !a.keepsCompiled() {
		return nil, nil
	}
	program, err := a.newScript(ctx, c, compileCacheConfigMap(a.Name), compileCacheFile, compileCache)
	if err != nil {
		return nil, err
	}
	claim, err := a.newCompileCacheClaim(ctx, c)
	if err != nil || claim == nil {
		return []pulumi.Resource{program}, err
	}
	return []pulumi.Resource{program, claim}, nil
}

// compileCacheKey returns the name of what the server compiles: a checksum of everything that is known to change it. vLLM, PyTorch
// and Triton compare further things, such as the driver, with what they find.
func (a *VLLMArgs) compileCacheKey() string {
	of := struct {
		Image, Hardware string
		GPUs            int
		Arguments       []string
		Env, Nodes      map[string]string
	}{Image: a.Image, Hardware: a.CompileCache.Hardware, GPUs: a.GPU.PerReplica, Arguments: serverArgs(a), Env: a.Env}
	if of.Hardware == "" {
		of.Nodes = a.nodeSelector()
	}
	content, err := json.Marshal(of)
	if err != nil {
		panic(fmt.Sprintf("the key of the compile cache: %v", err)) // Strings and numbers always have a JSON form.
	}
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// compileCacheContainers returns the init containers of the cache: one that restores it before the server starts, and a sidecar that
// saves it once the server is ready.
func (a *VLLMArgs) compileCacheContainers() corev1.ContainerArray {
	restore := a.compileCacheContainer(restoreCacheContainer, "restore")
	save := a.compileCacheContainer(saveCacheContainer, "save", "--size="+strconv.FormatInt(a.CompileCache.bytes(), 10),
		fmt.Sprintf("--health=http://127.0.0.1:%d%s", a.Port, healthPath))
	save.RestartPolicy = pulumi.String("Always")
	return corev1.ContainerArray{restore, save}
}

func (a *VLLMArgs) compileCacheContainer(name, command string, args ...string) corev1.ContainerArgs {
	words := append([]string{
		compileCacheScriptDir + "/" + compileCacheFile, command, "--home=" + homeDir, "--cache=" + compileCacheDir, "--key=" + a.compileCacheKey(),
	}, args...)
	mount := func(name, path string, readOnly bool) corev1.VolumeMountArgs {
		mount := corev1.VolumeMountArgs{Name: pulumi.String(name), MountPath: pulumi.String(path)}
		if readOnly {
			mount.ReadOnly = pulumi.Bool(true)
		}
		return mount
	}
	return corev1.ContainerArgs{
		Name: pulumi.String(name),
		// The server's own image has Python, and is pulled anyway.
		Image:   pulumi.String(a.Image),
		Command: pulumi.ToStringArray([]string{"python3"}),
		Args:    pulumi.ToStringArray(words),
		Env:     withoutGPUs(),
		Resources: corev1.ResourceRequirementsArgs{
			Requests: pulumi.ToStringMap(map[string]string{"cpu": CompileCacheCPU, "memory": CompileCacheMemory}),
			Limits:   pulumi.ToStringMap(map[string]string{"memory": compileCacheMemoryLimit}),
		},
		SecurityContext: restrictedContainer(),
		VolumeMounts: corev1.VolumeMountArray{
			mount("home", homeDir, false), mount(compileCacheVolume, compileCacheDir, false), mount(compileCacheScriptVolume, compileCacheScriptDir, true),
		},
		TerminationMessagePolicy: pulumi.String("FallbackToLogsOnError"),
	}
}

// compileCacheVolumes returns the volumes that the cache adds to the pod. The server itself mounts none of them.
func (a *VLLMArgs) compileCacheVolumes() corev1.VolumeArray {
	return corev1.VolumeArray{
		corev1.VolumeArgs{
			Name:                  pulumi.String(compileCacheVolume),
			PersistentVolumeClaim: corev1.PersistentVolumeClaimVolumeSourceArgs{ClaimName: pulumi.String(a.compileCacheClaim())},
		},
		corev1.VolumeArgs{
			Name:      pulumi.String(compileCacheScriptVolume),
			ConfigMap: corev1.ConfigMapVolumeSourceArgs{Name: pulumi.String(compileCacheConfigMap(a.Name))},
		},
	}
}

// sharedClaims returns the security context of a pod with a claim that other pods share: the kubelet changes the group of its files only
// where that of the folder is another one, not for every pod that starts.
func sharedClaims(of corev1.PodSecurityContextArgs) corev1.PodSecurityContextArgs {
	of.FsGroupChangePolicy = pulumi.String("OnRootMismatch")
	return of
}

// bytes returns the size in bytes, 0 for one that is not valid.
func (c CompileCache) bytes() int64 {
	size, err := resource.ParseQuantity(c.Size)
	if err != nil {
		return 0
	}
	return size.Value()
}

// validateClaim checks the name of a PersistentVolumeClaim.
func validateClaim(field, name string) error {
	if details := validation.IsDNS1123Subdomain(name); len(details) > 0 {
		return fmt.Errorf("%s %q is not the name of a PersistentVolumeClaim: %s", field, name, strings.Join(details, "; "))
	}
	return nil
}

func (c CompileCache) validate() error {
	var problems []error
	kinds := 0
	for _, given := range []bool{c.Claim != "", c.StorageClass != "", c.OnNodes} {
		if given {
			kinds++
		}
	}
	if kinds > 1 {
		problems = append(problems, errors.New("CompileCache has more than one of Claim, StorageClass and OnNodes"))
	}
	if kinds > 0 {
		problems = append(problems, validateQuantity("CompileCache.Size", c.Size))
	}
	if c.Claim != "" {
		problems = append(problems, validateClaim("CompileCache.Claim", c.Claim))
	}
	return errors.Join(problems...)
}
