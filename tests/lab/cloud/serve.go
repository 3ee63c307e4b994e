package cloud

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/pulumi/pulumi/sdk/v3/go/common/util/rpcutil"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc"
)

// handler serves the thin clients that replace plugins and authentication programs; see command lab-cloud.
func (c *Cloud) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /provider/{name}", c.serveProvider)
	mux.HandleFunc("POST /credentials/{program}", func(w http.ResponseWriter, r *http.Request) {
		var call Call
		if err := json.NewDecoder(r.Body).Decode(&call); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		call.Program = r.PathValue("program")
		// An error means that the caller has ended.
		_ = json.NewEncoder(w).Encode(c.credentials(call))
	})
	if c.stores != nil {
		mux.Handle("/objects/", http.StripPrefix("/objects", c.stores))
	}
	return mux
}

// serveProvider starts a provider, writes its port and stops it when the caller, the plugin's process, ends.
func (c *Cloud) serveProvider(w http.ResponseWriter, r *http.Request) {
	provider, err := c.Provider(r.PathValue("name"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	cancel := make(chan bool)
	server, err := rpcutil.ServeWithOptions(rpcutil.ServeOptions{
		Cancel: cancel,
		Init: func(s *grpc.Server) error {
			pulumirpc.RegisterResourceProviderServer(s, provider)
			return nil
		},
	})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	fmt.Fprintln(w, server.Port)
	if flusher, ok := w.(http.Flusher); ok {
		flusher.Flush()
	}
	select {
	case <-r.Context().Done():
	case <-c.ctx.Done():
	}
	// Not waited for: an operation in progress is completed.
	close(cancel)
}
