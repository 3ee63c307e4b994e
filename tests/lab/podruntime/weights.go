package podruntime

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"

	"vllm-autoscaling/tests/lab/cloud"
)

// checkWeights reads the model's files as vLLM does, from a bucket of the simulated clouds or from a claim, and returns the error with which
// vLLM 0.20 would end. Files of the hub and of images are not simulated.
func (l *launcher) checkWeights(args vllmArgs, env map[string]string) error {
	if scheme, _, ok := strings.Cut(args.model, "://"); ok {
		return l.readBucket(scheme, args.model, env)
	}
	claim, folder := l.claimOf(args.model)
	if claim == "" {
		return nil
	}
	return readFolder(args.model, folder, env["HF_HUB_OFFLINE"] == "1")
}

// readBucket lists the folder of a URI, pulls the configuration and streams the weights, as the identity of the pod.
func (l *launcher) readBucket(scheme, uri string, env map[string]string) error {
	if l.runtime.config.ObjectStores == nil || l.runtime.config.ObjectStores() == "" {
		return fmt.Errorf("the lab has no object stores for %s", uri)
	}
	address := strings.TrimSuffix(strings.Replace(uri, "://", "/", 1), "/")
	if scheme == "az" {
		account := env["AZURE_STORAGE_ACCOUNT_NAME"]
		if account == "" {
			return configError{"ValueError", "Azure storage account name is required: set AZURE_STORAGE_ACCOUNT_NAME"}
		}
		address = "az/" + account + strings.TrimPrefix(address, "az")
	}
	base := l.runtime.config.ObjectStores() + "/" + address + "/"
	content, err := l.getObject(base)
	if err != nil {
		return err
	}
	var objects []cloud.StoredObject
	if err := json.Unmarshal(content, &objects); err != nil {
		return fmt.Errorf("list of %s: %w", uri, err)
	}
	files := map[string]bool{}
	for _, object := range objects {
		files[path.Base(object.Path)] = true
	}
	if !files["config.json"] {
		return noModel(modelFolder(uri))
	}
	streamed := 0
	for _, object := range objects {
		name := path.Base(object.Path)
		if !strings.HasSuffix(name, ".safetensors") && name != "config.json" {
			continue
		}
		if _, err := l.getObject(base + name); err != nil {
			return err
		}
		if name != "config.json" {
			streamed++
		}
	}
	if streamed == 0 {
		return configError{"RuntimeError", fmt.Sprintf("Cannot find any safetensors model weights with `%s`", uri)}
	}
	return nil
}

// getObject reads an object, or a list, as the identity of the pod.
func (l *launcher) getObject(url string) ([]byte, error) {
	request, err := http.NewRequest(http.MethodGet, url, nil) //nolint:noctx // the loopback server ends with the lab
	if err != nil {
		return nil, err
	}
	request.Header.Set(cloud.NamespaceHeader, l.pod.Namespace)
	request.Header.Set(cloud.PodHeader, l.pod.Name)
	request.Header.Set(cloud.AccountHeader, l.account())
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	switch response.StatusCode {
	case http.StatusOK:
		return content, nil
	case http.StatusForbidden:
		var refused cloud.StoreError
		if err := json.Unmarshal(content, &refused); err != nil {
			return nil, err
		}
		return nil, configError{refused.Exception, refused.Message}
	default:
		return nil, fmt.Errorf("%s: %s: %s", url, response.Status, content)
	}
}

// modelFolder returns where vLLM puts the configuration of a model in an object store.
func modelFolder(uri string) string {
	sum := fnv.New32a()
	_, _ = sum.Write([]byte(uri))
	return fmt.Sprintf("/home/vllm/.cache/vllm/assets/model_streamer/%08x", sum.Sum32())
}

// noModel is vLLM's error for a folder without a model's configuration (vllm/transformers_utils/config.py).
func noModel(folder string) error {
	return configError{"ValueError", fmt.Sprintf("Invalid repository ID or local directory specified: '%s'.\n"+
		"Please verify the following requirements:\n1. Provide a valid Hugging Face repository ID.\n"+
		"2. Specify a local directory that contains a recognized configuration file.\n"+
		"   - For Hugging Face models: ensure the presence of a 'config.json'.\n"+
		"   - For Mistral models: ensure the presence of a 'params.json'.", folder)}
}

// readFolder checks a folder of a volume.
func readFolder(model, folder string, offline bool) error {
	entries, err := os.ReadDir(folder)
	switch {
	case errors.Is(err, fs.ErrNotExist) && offline:
		// vLLM looks a path that does not exist up in the cache of the hub's client.
		return configError{"huggingface_hub.errors.HFValidationError", fmt.Sprintf(
			"Repo id must be in the form 'repo_name' or 'namespace/repo_name': '%s'. Use `repo_type` argument if needed.", model)}
	case errors.Is(err, fs.ErrNotExist):
		return noModel(model)
	case err != nil:
		return err
	}
	configured, weights := false, false
	for _, entry := range entries {
		configured = configured || entry.Name() == "config.json"
		weights = weights || strings.HasSuffix(entry.Name(), ".safetensors")
	}
	switch {
	case !configured:
		return noModel(model)
	case !weights:
		return configError{"RuntimeError", fmt.Sprintf("Cannot find any safetensors model weights with `%s`", model)}
	}
	return nil
}

// claimOf returns the claim that has a file of the container, and the file on this machine; "" where none has it.
func (l *launcher) claimOf(file string) (claim, local string) {
	for _, volume := range l.pod.Spec.Volumes {
		if volume.PersistentVolumeClaim == nil {
			continue
		}
		for _, mount := range l.container.VolumeMounts {
			rest, inside := strings.CutPrefix(path.Clean(file)+"/", path.Clean(mount.MountPath)+"/")
			if mount.Name == volume.Name && inside {
				claim = volume.PersistentVolumeClaim.ClaimName
				return claim, filepath.Join(l.runtime.ClaimFolder(l.pod.Namespace, claim), mount.SubPath, filepath.FromSlash(rest))
			}
		}
	}
	return "", ""
}

// modelName returns the name of the model: of files that a URI or a path names, that by which clients choose it.
func (a vllmArgs) modelName() string {
	if !strings.Contains(a.model, "://") && !path.IsAbs(a.model) {
		return a.model
	}
	first, _, _ := strings.Cut(a.flags["served-model-name"], " ")
	return cmp.Or(first, a.model)
}
