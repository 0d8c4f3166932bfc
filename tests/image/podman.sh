# shellcheck shell=bash
# Podman for the tests of this folder: sourced, as root. Installs it from Debian, and works with images, volumes and
# settings of its own below a folder; the base image is made with debootstrap, so no registry is asked.

# shellcheck source=tests/package/root.sh
. tests/package/root.sh
scripts/install-packages image

fresh_podman() { # FOLDER
    local work=$1
    mkdir -p "$work"
    cat >"$work/containers.conf" <<END
[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
[network]
network_backend = "netavark"
network_config_dir = "$work/networks"
END
    cat >"$work/storage.conf" <<END
[storage]
driver = "overlay"
graphroot = "$work/storage"
runroot = "$work/run"
END
    export CONTAINERS_CONF=$work/containers.conf CONTAINERS_STORAGE_CONF=$work/storage.conf

    if ! podman image exists docker.io/library/debian:bookworm-slim; then
        make_base # of tests/package/root.sh
        podman import --quiet --change 'CMD ["bash"]' "$base" docker.io/library/debian:bookworm-slim >/dev/null
    fi
}
