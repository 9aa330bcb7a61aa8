"""Applications on the device: observe, plan, execute, look again. The reconciler's rounds are in this folder.

Each folder imports from those named before it only: ``model``, ``plan``, ``store``, ``observe``, ``execute``.
"""
