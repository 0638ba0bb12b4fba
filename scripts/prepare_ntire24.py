"""Make LMDB databases of the unpacked NTIRE 2024 archive; ``--help`` tells where it is had."""

from entropy_sde_plugin.data.prepare import main

if __name__ == '__main__':
    raise SystemExit(main('ntire24'))
