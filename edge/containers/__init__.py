"""Application containers: observe, plan, execute, look again. The reconciler's passes are in this folder.

Each folder imports from those named before it only: ``model``, ``plan``, ``store``, ``observe``, ``execute``.
"""
