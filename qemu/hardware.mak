# The devices of the machine that make hardware boots. configure takes it as
# configs/devices/x86_64-softmmu/hardware.mak.
CONFIG_Q35=y
CONFIG_VTD=y
CONFIG_PCIE_PORT=y
CONFIG_SVA_TESTDEV=y
