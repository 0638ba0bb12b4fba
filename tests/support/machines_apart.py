"""The trainer, with the second process in a folder of its own, as on a machine that does not share the disk:
``python -m tests.support.machines_apart FOLDER -opt FILE …``."""

import os
import sys

from entropy_sde_plugin import train

if __name__ == '__main__':
    folder = sys.argv.pop(1)
    if os.environ['RANK'] == '1':
        os.chdir(folder)
    train.main()
