"""Make LMDB databases of the unpacked LOL-v1 archive; ``--help`` tells where it is had."""

from entropy_sde_plugin.data.prepare import main

if __name__ == '__main__':
    raise SystemExit(main('lolv1'))
