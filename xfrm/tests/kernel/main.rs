//! States and policies on the running kernel, in namespaces of each test's own. Tests of states are called
//! `esp_…`: they need a kernel with ESP and AES-GCM, and are skipped aloud where there is none.

mod host;
mod mesh;
mod policies;
mod states;
mod tunnels;
